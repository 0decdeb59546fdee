"""The README shows what is there: its commands, its hypothesis, its links."""

import json
import os
import re
import shlex
import shutil
import subprocess
import tomllib
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_hypothesis_shown_is_the_one_shipped():
    shown = re.search(r"```yaml\n# (\S+)\n(.*?)```", README, re.DOTALL)
    shipped = (ROOT / shown[1]).read_text(encoding="utf-8")
    assert shipped.endswith(shown[2])


def command(name: str) -> str:
    (block,) = re.findall(rf"<!-- command: {name} -->\n```sh\n(.*?)```", README, re.DOTALL)
    return block


def make(*arguments: str, folder: Path = ROOT) -> str:
    # `make test` runs this: what it hands to its own children is not for this one
    environment = {key: value for key, value in os.environ.items() if "MAKE" not in key}
    run = subprocess.run(
        ["make", "--dry-run", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout


@pytest.fixture
def fresh(tmp_path):
    """Return a folder with what make reads, where nothing was installed yet."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "last"), [("audit", "-m pytest --pm-audit"), ("test", "-m pytest")]
)
def test_each_command_is_one_line_that_sets_up_everything(fresh, name, last):
    program, *words = shlex.split(command(name))
    assert (program, words) == ("make", [name])
    steps = make(name, folder=fresh).replace("\\\n", "").splitlines()
    assert [step for step in steps if "-m venv" in step]
    (install,) = [step for step in steps if "-m pip install" in step]
    assert "PIP_CONSTRAINT=constraints.txt" in install
    assert last in steps[-1]
    (said,) = [step for step in steps if "MB to download" in step]
    assert steps.index(said) < steps.index(install)


def test_what_was_installed_is_not_installed_again(fresh):
    (fresh / ".venv" / "bin").mkdir(parents=True)
    for name in ("bin/python", "audit.done", "test.done"):
        (fresh / ".venv" / name).touch()
    for name in ("audit", "test"):
        assert "pip install" not in make(name, folder=fresh)
    later = (fresh / "constraints.txt").stat().st_mtime + 10
    os.utime(fresh / "constraints.txt", (later, later))
    assert "pip install" in make("audit", folder=fresh)


def test_an_index_with_cpu_builds_of_torch_can_be_named(fresh):
    assert "--extra-index-url" not in make("audit", folder=fresh)
    assert "--extra-index-url https://an/index" in make(
        "audit", "TORCH_INDEX=https://an/index", folder=fresh
    )


@pytest.mark.parametrize(("status", "shown"), [(0, 0), (1, 0), (2, 2), (4, 2)])
def test_a_refuted_claim_is_no_error_of_make(fresh, status, shown):
    """An audit exits with 1 where a check is not passed; whatever else fails is make's 2."""
    (fresh / ".venv" / "bin").mkdir(parents=True)
    python = fresh / ".venv" / "bin" / "python"
    python.write_text(f"#!/bin/sh\nexit {status}\n")
    python.chmod(0o755)
    (fresh / ".venv" / "audit.done").touch()
    run = subprocess.run(["make", "audit"], cwd=fresh, capture_output=True)
    assert run.returncode == shown


def test_the_pins_hold_every_dependency_and_no_build_of_one():
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)$", text, re.MULTILINE))
    assert not [version for version in pins.values() if "+" in version]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = chain(project["dependencies"], *project["optional-dependencies"].values())
    known = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pins.items()}
    for requirement in map(Requirement, wanted):
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        assert requirement.specifier.contains(known[name]), requirement
    assert not [name for name in pins if name.startswith(("nvidia", "cuda"))]


def test_the_sizes_shown_are_those_that_were_measured():
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    disk = int(re.search(r"# audit: \d+ MB to download, (\d+) MB on disk", text)[1])
    assert f"{disk / 1000:.1f} GB of disk" in README


def test_the_cost_shown_is_the_one_that_was_measured():
    cost = json.loads((ROOT / "benchmarks" / "audit.json").read_text(encoding="utf-8"))
    text = " ".join(README.split())
    assert f"cost {cost['audit']['cpu_s']:.0f} CPU seconds" in text
    assert f"{cost['audit']['peak_mb'] / 1000:.1f} GB of memory" in text
    assert f"{cost['ratio']:.1f} plain padded forwards" in text
    assert f"{cost['plain']['texts']:,.0f} texts" in text


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_links_lead_somewhere(target):
    assert (ROOT / target).exists()
