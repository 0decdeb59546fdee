"""The wheel: what it holds, under which licence, and what is said where weights were left out."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SWITCH = "PM_AUDIT_WITHOUT_WEIGHTS"
MAIN = "from pm_audit.cli import main; main()"


def build(folder: Path, switch: str, kind: str = "wheel") -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", folder]
    subprocess.run(
        command, cwd=ROOT, check=True, capture_output=True, env={**os.environ, SWITCH: switch}
    )
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def with_weights(tmp_path_factory):
    return zipfile.ZipFile(build(tmp_path_factory.mktemp("with"), ""))


@pytest.fixture(scope="module")
def without_weights(tmp_path_factory):
    return zipfile.ZipFile(build(tmp_path_factory.mktemp("without"), "1"))


def licences(wheel: zipfile.ZipFile) -> tuple[list[str], list[str]]:
    (metadata,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    lines = wheel.read(metadata).decode().splitlines()
    words = [line.partition(": ") for line in lines if line.startswith("License")]
    return (
        [text for key, _, text in words if key == "License-Expression"],
        [text for key, _, text in words if key == "License-File"],
    )


def files(wheel: zipfile.ZipFile) -> set[str]:
    return {name for name in wheel.namelist() if ".dist-info/" not in name}


def tracked() -> set[str]:
    git = ["git", "ls-files", "pm_audit"]
    return set(subprocess.run(git, cwd=ROOT, capture_output=True, text=True).stdout.split())


def test_a_wheel_holds_the_package_and_names_the_licence_of_the_weights(with_weights):
    assert files(with_weights) == tracked()  # and nothing of recipes/
    assert licences(with_weights) == (
        ["Apache-2.0 AND CC-BY-NC-4.0"],
        ["LICENSE", "LICENSE-WEIGHTS.md"],
    )


def test_a_wheel_without_weights_lacks_them_alone_and_is_free(with_weights, without_weights):
    left_out = files(with_weights) - files(without_weights)
    assert left_out == {name for name in files(with_weights) if name.endswith(".safetensors")}
    assert len(left_out) == 5
    assert files(without_weights) < files(with_weights)
    assert licences(without_weights) == (["Apache-2.0"], ["LICENSE"])


@pytest.mark.parametrize(("switch", "held"), [("", 6), ("1", 0)])
def test_the_source_holds_the_recipes_and_their_weights_unless_unwanted(tmp_path, switch, held):
    with tarfile.open(build(tmp_path, switch, "sdist")) as source:
        names = source.getnames()
    assert any(name.endswith("recipes/commands.py") for name in names)
    weights = [name for name in names if name.endswith(".safetensors") and "/tests/" not in name]
    assert len(weights) == held


@pytest.fixture
def outside(without_weights, tmp_path):
    """Return a function that runs Python with the wheel installed and no checkout around it."""
    without_weights.extractall(tmp_path / "site")
    environment = {
        **os.environ,
        "PYTHONPATH": str(tmp_path / "site"),
        "PM_AUDIT_CACHE": str(tmp_path / "cache"),
    }

    def run(*arguments: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-P", "-W", "ignore", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True
        )

    return run


def test_without_weights_the_default_pm_names_the_remedy(outside, tmp_path):
    run = outside("-c", "from pm_audit.loading.default.pm import load_pm; load_pm()")
    assert run.returncode == 1
    message = run.stderr.splitlines()[-1]
    assert message.startswith("pm_audit.errors.ModelError: default: pm_audit was installed without")
    assert f"{SWITCH}); install it again with that variable unset" in message
    assert "--pm-audit-pm" in message
    assert not (tmp_path / "cache").exists()  # nothing is downloaded for a PM that cannot load


@pytest.mark.parametrize("command", ["train", "calibrate"])
def test_a_wheel_says_that_recipes_come_with_the_source(outside, command):
    run = outside("-c", MAIN, command)
    assert run.returncode == 2
    assert f"pm-audit {command} comes with the source of pm_audit" in run.stderr
    assert "pip install -e '.[train]'" in run.stderr
    listed = outside("-c", MAIN, "--help").stdout
    assert "doctor" in listed
    assert command not in listed


def test_a_checkout_has_the_recipes():
    command = [sys.executable, "-c", MAIN]
    for words in (["--help"], ["train", "--help"], ["calibrate", "--help"]):
        run = subprocess.run([*command, *words], cwd=ROOT, capture_output=True, text=True)
        assert run.returncode == 0
        if len(words) == 1:
            assert {"calibrate", "train"} <= set(run.stdout.split())


def test_the_licence_stands_in_readme_and_model_card():
    cards = [ROOT / f"pm_audit/loading/{part}/weights/README.md" for part in ("default", "judges")]
    for path in (ROOT / "README.md", *cards):
        text = path.read_text(encoding="utf-8")
        assert "CC BY-NC 4.0" in text
        assert "non-commercial" in text
        assert "alpaca_eval" in text
    assert f"{SWITCH}=1" in (ROOT / "README.md").read_text(encoding="utf-8")
