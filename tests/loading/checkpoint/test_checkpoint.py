from __future__ import annotations

import builtins
import io
import json
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, modeling_utils

from pm_audit.errors import ModelError
from pm_audit.loading.checkpoint import folder as checkpoint
from pm_audit.loading.checkpoint import stored
from pm_audit.loading.checkpoint.folder import open_checkpoint
from pm_audit.loading.pms.registry import load

SECRET = "outside"


def hostile_names(root: Path) -> list[str]:
    """Spell files outside ``root`` in every way that an index might."""
    outside = root.parent / SECRET / "w.safetensors"
    up = [
        "../outside/w.safetensors",
        "../../outside/w.safetensors",
        "..",
        "../",
        "./../outside/w.safetensors",
        "sub/../../outside/w.safetensors",
        "sub/./.././../outside/w.safetensors",
        "a/b/../../../outside/w.safetensors",
        ".../../../outside/w.safetensors",
        "..//outside//w.safetensors",
        "../pm/../outside/w.safetensors",
        "model.safetensors/../../outside/w.safetensors",
    ]
    absolute = [
        str(outside),
        f"/{outside}",
        f"//{outside}",
        "/etc/passwd",
        "/proc/self/environ",
        "/dev/zero",
        "~/w.safetensors",
        "~root/w.safetensors",
    ]
    urls = [
        f"file://{outside}",
        f"file:{outside}",
        f"FILE://{outside}",
        "http://localhost/w.safetensors",
        "https://localhost/w.safetensors",
        "ftp://localhost/w.safetensors",
        "s3://bucket/w.safetensors",
        "gs://bucket/w.safetensors",
        "hf://org/model/w.safetensors",
        "data:application/octet-stream;base64,AA==",
        "jar:file:/x!/w",
        "C:/w.safetensors",
        "c:w.safetensors",
    ]
    windows = [
        "..\\outside\\w.safetensors",
        "sub\\..\\..\\outside\\w.safetensors",
        "C:\\w.safetensors",
        "\\\\server\\share\\w.safetensors",
        "..\\../outside/w.safetensors",
        "sub\\w.safetensors",
    ]
    odd = [
        "",
        "\0",
        "../outside/w.safetensors\0.safetensors",
        "w.safetensors\0/../../outside",
        "sub/..\0/w.safetensors",
    ]
    links = [
        "link.safetensors",
        "./link.safetensors",
        "folder_link/w.safetensors",
        "./folder_link/w.safetensors",
        "folder_link/../link.safetensors",
        "up_link/outside/w.safetensors",
        "root_link/etc/passwd",
        "chain.safetensors",
        "sub/link.safetensors",
        "sub/deep_link/w.safetensors",
        "absolute_link.safetensors",
        "relative_link.safetensors",
        "sub/../link.safetensors",
        "hop/hop/w.safetensors",
        "up_link/pm/../outside/w.safetensors",
        "sub/up/outside/w.safetensors",
    ]
    return [*up, *absolute, *urls, *windows, *odd, *links]


@pytest.fixture
def trapped(tmp_path: Path) -> Path:
    """Return a model folder full of links that lead to files outside it."""
    root, outside = tmp_path / "pm", tmp_path / SECRET
    (root / "sub").mkdir(parents=True)
    outside.mkdir()
    target = outside / "w.safetensors"
    save_file({"secret": torch.ones(1)}, target)
    links = {
        "link.safetensors": target,
        "folder_link": outside,
        "up_link": tmp_path,
        "root_link": Path("/"),
        "chain.safetensors": root / "link.safetensors",
        "sub/link.safetensors": target,
        "sub/deep_link": outside,
        "absolute_link.safetensors": target.absolute(),
        "relative_link.safetensors": Path("../outside/w.safetensors"),
        "hop": root / "sub",
        "sub/hop": outside,
        "sub/up": tmp_path,
    }
    for name, leads in links.items():
        (root / name).symlink_to(leads)
    config = {"architectures": ["LlamaForSequenceClassification"], "model_type": "llama"}
    (root / "config.json").write_text(json.dumps(config))
    return root


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Record every file outside the model's folder that is opened."""
    seen: list[str] = []
    names = {"open": builtins.open, "os_open": os.open, "io_open": io.open}

    def watch(real: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(path: Any, *args: Any, **options: Any) -> Any:
            resolved = os.path.realpath(path) if isinstance(path, str | os.PathLike) else ""
            if SECRET in resolved or resolved.startswith(("/etc/passwd", "/proc/self", "/dev/z")):
                seen.append(resolved)
            return real(path, *args, **options)

        return wrapped

    # safetensors opens files in Rust, so its own door is watched
    opens = safetensors.safe_open
    for module in (safetensors, checkpoint, stored, modeling_utils):
        monkeypatch.setattr(module, "safe_open", watch(opens))
    monkeypatch.setattr(builtins, "open", watch(names["open"]))
    monkeypatch.setattr(os, "open", watch(names["os_open"]))
    monkeypatch.setattr(io, "open", watch(names["io_open"]))
    return seen


def test_there_are_sixty_hostile_names(tmp_path: Path) -> None:
    assert len(set(hostile_names(tmp_path / "pm"))) >= 60


@pytest.mark.parametrize("number", range(60))
def test_no_index_opens_a_file_outside(trapped: Path, opened: list[str], number: int) -> None:
    name = hostile_names(trapped)[number]
    index = {"weight_map": {"score.weight": name, "model.embed_tokens.weight": name}}
    (trapped / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match=r"was not opened|not a plain file name|links out"):
        load(trapped, text_format="hh")
    # the folder's own links are refused first; the index must be refused without them too
    for path in list(trapped.rglob("*")):
        if path.is_symlink() and number < 44:
            path.unlink()
    with pytest.raises(ModelError, match=r"was not opened|not a plain file name|links out"):
        load(trapped, text_format="hh")
    assert opened == []


@pytest.mark.parametrize("name", ["../outside/w.safetensors", "link.safetensors"])
def test_without_the_boundary_the_same_index_does_open_a_file_outside(
    trapped: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(checkpoint, "confined", lambda root, name, **_: Path(root) / name)
    monkeypatch.setattr(checkpoint, "check_links", lambda *_, **__: None)
    index = {"weight_map": {"score.weight": name}}
    (trapped / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError):
        load(trapped, text_format="hh")
    assert opened


def test_an_index_within_the_folder_loads(save_classifier: Callable[..., Path]) -> None:
    folder = save_classifier("llama")
    weights = load_file(folder / "model.safetensors")
    (folder / "sub").mkdir()
    names = ["part-1.safetensors", "part-2.safetensors"]
    shards = {key: names[index % 2] for index, key in enumerate(sorted(weights))}
    for name in names:
        held = {key: weights[key] for key in shards if shards[key] == name}
        save_file(held, folder / name, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": shards}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    expected = load(folder, text_format="hh").head.weight
    (folder / "model.safetensors").unlink()
    assert torch.equal(load(folder, text_format="hh").head.weight, expected)


@pytest.mark.parametrize("shards", [None, [], {"score.weight": 3}, {"score.weight": "absent"}])
def test_a_torn_index_is_one_clear_error(trapped: Path, shards: Any) -> None:
    for path in list(trapped.rglob("*")):
        if path.is_symlink():
            path.unlink()
    (trapped / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    with pytest.raises(ModelError, match=r"no weight_map of file names|shards absent are missing"):
        load(trapped, text_format="hh")


def test_links_of_the_hub_cache_stay_inside_its_repository(tmp_path: Path) -> None:
    repository = tmp_path / "models--org--pm"
    snapshot, blobs = repository / "snapshots" / "abc", repository / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    (blobs / "1").write_text("{}")
    (snapshot / "config.json").symlink_to(Path("../../blobs/1"))
    assert open_checkpoint(snapshot).config == {}
    (tmp_path / "elsewhere").write_text("{}")
    (snapshot / "evil.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match="links out of the folder"):
        open_checkpoint(snapshot)


class Canary:
    """Leaves a file behind if a pickle that holds it is ever run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("written", ["torch", "pickle"])
def test_a_pickle_is_never_run(
    tmp_path: Path, save_classifier: Callable[..., Path], protocol: int, written: str
) -> None:
    folder = save_classifier("llama")
    canary = tmp_path / "canary"
    held: dict[str, Any] = dict(load_file(folder / "model.safetensors"))
    held["evil"] = Canary(canary)
    (folder / "model.safetensors").unlink()
    path = folder / "pytorch_model.bin"
    if written == "torch":
        torch.save(held, path, pickle_protocol=protocol)
    else:
        path.write_bytes(pickle.dumps({"evil": held["evil"]}, protocol=protocol))
    with pytest.raises(ModelError, match="nothing of it was run"):
        load(folder, text_format="hh")
    assert not canary.exists()
    # where pickles are trusted the same file does run, so that its silence means something
    torch.load(path, weights_only=False) if written == "torch" else pickle.loads(path.read_bytes())
    assert canary.exists()


def test_plain_pickled_weights_load(save_classifier: Callable[..., Path]) -> None:
    folder = save_classifier("llama")
    held = load_file(folder / "model.safetensors")
    expected = load(folder, text_format="hh").head.weight
    (folder / "model.safetensors").unlink()
    torch.save(dict(held), folder / "pytorch_model.bin")
    assert torch.equal(load(folder, text_format="hh").head.weight, expected)


@pytest.mark.parametrize("name", ["absent", "", "a/b/c/d", "./absent", "../absent"])
def test_a_missing_model_says_so(tmp_path: Path, monkeypatch: Any, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(
        ModelError, match=r"no such folder|no weights in the folder|is empty or holds a NUL"
    ):
        load(name)


def test_a_hub_name_without_a_network_is_one_clear_error(monkeypatch: Any) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(checkpoint, "snapshot_download", no_network)
    with pytest.raises(ModelError, match="the Hugging Face hub cannot provide it"):
        open_checkpoint("no-such-organisation/no-such-model")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(ModelError, match="neither a model's folder nor a GGUF file"):
        load(tmp_path / "model.safetensors")


def shard(folder: Path, weights: dict[str, torch.Tensor]) -> None:
    """Write weights in two shards beside whatever is there."""
    names = ("model-1.safetensors", "model-2.safetensors")
    shards = {key: names[index % 2] for index, key in enumerate(sorted(weights))}
    for name in names:
        held = {key: weights[key] for key in shards if shards[key] == name}
        save_file(held, folder / name, metadata={"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))


def test_keys_and_hash_are_those_of_the_files_that_transformers_loads(
    save_classifier: Callable[..., Path],
) -> None:
    folder = save_classifier("llama")
    fresh = dict(load_file(folder / "model.safetensors"))
    stale = {key: value + 1 for key, value in fresh.items()}
    shard(folder, stale | {"of.the.stale.one": torch.ones(1)})
    model = load(folder, text_format="hh")
    theirs = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    assert torch.equal(model.head.weight, theirs.score.weight)
    assert torch.equal(model.head.weight, fresh["score.weight"])
    assert "of.the.stale.one" not in open_checkpoint(folder).keys
    save_file(stale, folder / "model.safetensors", metadata={"format": "pt"})
    assert load(folder, text_format="hh").sha256 != model.sha256


@pytest.mark.parametrize("index", ["model.safetensors", "pytorch_model.bin"])
def test_an_index_left_over_beside_whole_weights_is_left_aside(
    save_classifier: Callable[..., Path], index: str
) -> None:
    folder = save_classifier("llama")
    expected = load(folder, text_format="hh")
    left = {"metadata": {}, "weight_map": {"score.weight": "gone-00001-of-00002.bin"}}
    (folder / f"{index}.index.json").write_text(json.dumps(left))
    (folder / "pytorch_model.bin").write_bytes(b"torn")
    model = load(folder, text_format="hh")
    assert torch.equal(model.head.weight, expected.head.weight)
    assert model.sha256 == expected.sha256


def test_weights_named_by_the_configuration_are_refused(
    save_classifier: Callable[..., Path],
) -> None:
    folder = save_classifier("llama")
    config = json.loads((folder / "config.json").read_text())
    config["transformers_weights"] = "other.safetensors"
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="names its own file of weights"):
        load(folder, text_format="hh")


@pytest.mark.parametrize("deep", ["a", "a/b", "a/b/c/d"])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_link_out_of_the_folder_is_found_at_any_depth(
    tmp_path: Path, save_classifier: Callable[..., Path], deep: str, kind: str
) -> None:
    folder = save_classifier("llama")
    (folder / deep).mkdir(parents=True)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "w").write_text("secret")
    (folder / deep / "link").symlink_to(outside if kind == "folder" else outside / "w")
    with pytest.raises(ModelError, match=f"'{deep}/link' links out of the folder"):
        load(folder, text_format="hh")
    (folder / deep / "link").unlink()
    (folder / deep / "link").symlink_to(folder / "config.json")
    assert load(folder, text_format="hh").depth == 3


def test_links_in_a_circle_are_one_clear_error(tmp_path: Path) -> None:
    folder = tmp_path / "pm"
    folder.mkdir()
    (folder / "config.json").symlink_to(folder / "config.json")
    with pytest.raises(ModelError, match="leads nowhere and was not opened"):
        load(folder)


@pytest.mark.parametrize("name", ["a" * 300, "a" * 5000, "b/" * 3000, "x\0y", "\0", ""])
def test_paths_that_no_system_has_are_one_clear_error(name: str) -> None:
    with pytest.raises(ModelError, match=r"longer than a path may be|empty or holds a NUL"):
        load(name)
    with pytest.raises(ModelError, match=r"longer than a path may be|empty or holds a NUL"):
        load(f"{name}@base")
