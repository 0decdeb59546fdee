"""Unfinished training work: of one key, of one run, gone at the end, and refused by name."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pm_audit.errors import AuditError, ModelError
from recipes.biased import train as train_biased
from recipes.train import activations
from recipes.train import pm as train_pm
from recipes.train.checkpoint import load_state, save_state
from recipes.train.pm import PmRecipe
from recipes.train.unfinished import (
    KEY,
    made_in,
    move_whole,
    read_tensors,
    unfinished,
    work_folder,
    write_tensors,
)
from tests.recipes.train.killed_recipes import PM, SAE, prepare

RECIPE = {"steps": 3, "rates": (0.1, 0.2), "made_from": {"data": "abc"}}


class Killed(BaseException):
    """Stands for a signal: nothing is cleaned up by the one it hits."""


def test_work_is_kept_while_it_is_unfinished_and_gone_at_its_end(tmp_path: Path) -> None:
    place = work_folder(tmp_path / "pm")

    def die(work: Path) -> None:
        (work / "half.pt").write_bytes(b"half")
        raise Killed

    with pytest.raises(Killed), unfinished(place, RECIPE) as work:
        die(work)
    with unfinished(place, RECIPE) as work:
        assert (work / "half.pt").read_bytes() == b"half"
        assert made_in(work).is_dir()
    assert not list(tmp_path.iterdir())


def test_a_run_killed_while_it_cleared_away_leaves_work_of_nobody(tmp_path: Path) -> None:
    place = work_folder(tmp_path / "pm")
    place.mkdir()
    (place / "old.pt").write_bytes(b"old")
    with unfinished(place, RECIPE) as work:
        assert not (work / "old.pt").exists()
    assert not list(tmp_path.iterdir())


def test_work_of_another_recipe_is_refused_by_name_and_left_alone(tmp_path: Path) -> None:
    place = work_folder(tmp_path / "pm")
    with pytest.raises(Killed), unfinished(place, RECIPE):
        raise Killed
    other = {**RECIPE, "steps": 5, "made_from": {"data": "xyz"}}
    message = (
        r"key\.json: unfinished work .*steps: 3 there, 5 here, made_from\.data: abc there, xyz"
    )
    with pytest.raises(AuditError, match=message), unfinished(place, other):
        pytest.fail("it went on")
    with unfinished(place, RECIPE):
        pass


@pytest.mark.parametrize("text", ["", "{", "[]", "\0"])
def test_a_torn_key_is_refused_by_name(tmp_path: Path, text: str) -> None:
    place = work_folder(tmp_path / "pm")
    place.mkdir()
    (place / KEY).write_text(text)
    with (
        pytest.raises(AuditError, match=r"key\.json: cannot be read .*remove the folder"),
        unfinished(place, RECIPE),
    ):
        pytest.fail("it went on")


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    place = work_folder(tmp_path / "pm")
    code = (
        "import sys\nfrom pathlib import Path\nfrom recipes.train.unfinished import unfinished\n"
        "with unfinished(Path(sys.argv[1]), {}):\n    pass\n"
    )
    with unfinished(place, RECIPE) as work:
        (work / "mine.pt").touch()
        run = subprocess.run(
            [sys.executable, "-c", code, str(place)], capture_output=True, text=True, check=False
        )
        assert "another run is training here" in run.stderr
        assert (work / "mine.pt").exists()


def test_results_come_by_one_rename_or_with_the_last_file_last(tmp_path: Path) -> None:
    def made(text: str) -> Path:
        folder = tmp_path / "made"
        folder.mkdir()
        for name in ("recipe.json", "weights"):
            (folder / name).write_text(text)
        return folder

    out = tmp_path / "deep" / "out"
    inode = (first := made("one")).stat().st_ino
    move_whole(first, out, last="recipe.json")
    assert out.stat().st_ino == inode
    (out / "mine").write_text("kept")
    second = made("two")
    move_whole(second, out, last="recipe.json")
    assert {path.name: path.read_text() for path in out.iterdir()} == {
        "recipe.json": "two",
        "weights": "two",
        "mine": "kept",
    }


@pytest.mark.parametrize("share", [0.0, 0.5, 0.98])
def test_torn_files_are_refused_by_name(tmp_path: Path, share: float) -> None:
    shard, state = tmp_path / "0000.safetensors", tmp_path / "checkpoint.pt"
    write_tensors({"states": torch.ones(64, 8)}, shard)
    save_state(state, {"step": 3, "weights": {"one": torch.ones(64)}})
    assert load_state(state)["step"] == 3
    assert sorted(tmp_path.iterdir()) == sorted([shard, state])
    for path, read in ((shard, read_tensors), (state, load_state)):
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(ModelError, match=rf"{path.name}: cannot be read .*remove this file"):
            read(path)


@pytest.fixture
def recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for module, name in (
        *((train_pm, name) for name in ("load_backbone", "SAVE_SECONDS")),
        *((train_biased, name) for name in ("load_backbone", "SAVE_SECONDS", "_MOST_TOKENS")),
        (activations, "SHARD_TOKENS"),
    ):
        monkeypatch.setattr(module, name, getattr(module, name))  # taken back after the test
    return prepare(tmp_path)


def interrupted(recipes, out: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Train a PM until its head would be fitted for the last time; return its unfinished work."""

    def kill(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(train_pm, "cut_and_refit", kill)
        with pytest.raises(Killed):
            recipes["pm"](out)
    return work_folder(out)


def test_a_finished_pm_is_not_trained_again_and_a_torn_one_is(recipes, tmp_path, monkeypatch):
    out = tmp_path / "base"
    adapter, described = out / "adapter.safetensors", out / "recipe.json"
    content = adapter.read_bytes()
    assert json.loads(described.read_text())["made_from"]["device"] == "cpu"
    with monkeypatch.context() as patched:
        patched.setattr(train_pm, "load_backbone", lambda _: pytest.fail("it trained again"))
        recipes["pm"](out)
    adapter.write_bytes(content[:100])
    recipes["pm"](out)
    assert adapter.read_bytes() == content


@pytest.mark.parametrize("name", ["checkpoint.pt", "states/0000.safetensors"])
def test_a_torn_file_of_an_unfinished_pm_is_named(recipes, tmp_path, monkeypatch, name):
    work = interrupted(recipes, tmp_path / "pm", monkeypatch)
    (work / name).write_bytes(b"torn")
    if name != "checkpoint.pt":
        (work / "checkpoint.pt").unlink()
    with pytest.raises(ModelError, match=rf"{name}: cannot be read"):
        recipes["pm"](tmp_path / "pm")
    (work / name).unlink()
    recipes["pm"](tmp_path / "pm")
    assert not work.exists()
    trained, base = (tmp_path / one / "adapter.safetensors" for one in ("pm", "base"))
    assert trained.read_bytes() == base.read_bytes()


def test_an_unfinished_pm_of_another_recipe_or_data_is_named(recipes, tmp_path, monkeypatch):
    out, data = tmp_path / "pm", tmp_path / "pairs.jsonl"
    interrupted(recipes, out, monkeypatch)

    def run(recipe: PmRecipe) -> None:
        train_pm.train_pm(data, out, recipe, device="cpu", report=lambda _: None)

    with pytest.raises(AuditError, match=r"key\.json: unfinished .*steps: 12 there, 13 here"):
        run(dataclasses.replace(PM, steps=13))
    data.write_text(data.read_text() + data.read_text().splitlines()[0] + "\n")
    with pytest.raises(AuditError, match=r"made_from\.data: [0-9a-f]+ there, [0-9a-f]+ here"):
        run(PM)


def test_an_sae_of_another_recipe_is_never_overwritten(recipes, tmp_path):
    out = tmp_path / "pm"
    (out / f"layer_{SAE.layers[1]}").mkdir(parents=True)
    with pytest.raises(AuditError, match=r"layer_1/made_from\.json: an SAE is there already"):
        recipes["sae"](out)


@pytest.mark.parametrize("recipe", ["pm", "sae", "biased"])
def test_killed_runs_end_in_an_unbroken_runs_bytes(tmp_path, recipe):
    command = [sys.executable, "-m", "tests.recipes.train.killed_recipes", str(tmp_path)]
    run = subprocess.run(
        [*command, "--recipe", recipe, "--kills", "3"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "3 kills" in run.stdout
