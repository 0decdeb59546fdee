"""The wheel: what it holds, under which licence, and what is said where weights were left out."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SWITCH = "PM_AUDIT_WITHOUT_WEIGHTS"


def build(folder: Path, switch: str) -> zipfile.ZipFile:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    subprocess.run(
        command, cwd=ROOT, check=True, capture_output=True, env={**os.environ, SWITCH: switch}
    )
    (wheel,) = folder.glob("*.whl")
    return zipfile.ZipFile(wheel)


@pytest.fixture(scope="module")
def with_weights(tmp_path_factory):
    return build(tmp_path_factory.mktemp("with"), "")


@pytest.fixture(scope="module")
def without_weights(tmp_path_factory):
    return build(tmp_path_factory.mktemp("without"), "1")


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
    assert tracked() <= files(with_weights)
    assert licences(with_weights) == (
        ["Apache-2.0 AND CC-BY-NC-4.0"],
        ["LICENSE", "LICENSE-WEIGHTS.md"],
    )


def test_a_wheel_without_weights_lacks_them_alone_and_is_free(with_weights, without_weights):
    left_out = files(with_weights) - files(without_weights)
    assert left_out == {name for name in files(with_weights) if name.endswith(".safetensors")}
    assert len(left_out) == 4
    assert files(without_weights) < files(with_weights)
    assert licences(without_weights) == (["Apache-2.0"], ["LICENSE"])


@pytest.mark.parametrize("call", ["default.load_pm()", "biased.load_biased()"])
def test_where_weights_were_left_out_the_error_names_the_remedy(without_weights, tmp_path, call):
    without_weights.extractall(tmp_path / "site")
    code = f"from pm_audit.zoo import biased, default; {call}"
    cache = tmp_path / "cache"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "PM_AUDIT_CACHE": str(cache)}
    command = [sys.executable, "-W", "ignore", "-c", code]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert run.returncode == 1
    message = run.stderr.splitlines()[-1]
    assert message.startswith("pm_audit.errors.ModelError: default: pm_audit was installed without")
    assert f"{SWITCH}); install it again with that variable unset" in message
    assert "--pm-audit-pm" in message
    assert not cache.exists()  # nothing is downloaded for a PM that cannot be loaded


def test_the_licence_stands_in_readme_and_model_card():
    for path in (ROOT / "README.md", ROOT / "pm_audit/loading/default/weights/README.md"):
        text = path.read_text(encoding="utf-8")
        assert "CC BY-NC 4.0" in text
        assert "non-commercial" in text
        assert "alpaca_eval" in text
    assert f"{SWITCH}=1" in (ROOT / "README.md").read_text(encoding="utf-8")
