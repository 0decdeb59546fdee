"""What the code imports is what pyproject.toml declares, no more and no less."""

from __future__ import annotations

import ast
import re
import runpy
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import pm_audit

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SCRIPT = ROOT / ".ci" / "lowest_and_newest"
OWN = {"pm-audit", "recipes", "tests", "benchmarks"}
BEHIND = {"accelerate", "gguf"}
"""Needed, though not imported: transformers imports them to read a GGUF file."""

OPTIONAL = ("data", "scale")
"""Extras of the package itself, imported when they are needed."""

TOOLS = {
    *("hatchling", "import-linter", "mypy", "pytest-xdist", "ruff", "pyarrow", "matplotlib"),
    *("pandas-stubs", "scipy-stubs", "types-pyyaml", "types-tabulate"),
    *("mkdocs-material", "mkdocstrings", "ray"),
}
"""Of the extras: commands, plugins, stubs, and what the notebook, pandas and workers import."""


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(*extras: str) -> dict[str, Requirement]:
    optional = PROJECT["optional-dependencies"]
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in optional[extra])]
    return {plain(found.name): found for found in map(Requirement, lines)}


def imported(folder: str) -> set[str]:
    """Return the distributions that modules below a folder import, at any place."""
    modules: set[str] = set()
    for path in (ROOT / folder).rglob("*.py"):
        if path.match("make_*_fixtures.py"):
            continue  # its docstring names the releases of the libraries that it runs
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {name.name for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                modules.add(node.module)
    tops = {module.partition(".")[0] for module in modules} - set(sys.stdlib_module_names)
    known = packages_distributions()
    return {plain(known.get(top, [top])[0]) for top in tops} - OWN


def test_the_package_imports_what_it_declares():
    assert imported("pm_audit") == set(declared(*OPTIONAL)) - BEHIND


@pytest.mark.parametrize(
    ("folder", "extras"), [("recipes", ["train"]), ("docs", ["docs"]), ("tests", ["test"])]
)
def test_what_surrounds_the_package_imports_what_its_extra_declares(folder, extras):
    assert imported(folder) <= set(declared(*extras))
    extra = set(declared(*extras)) - set(declared())
    assert extra <= imported(folder) | TOOLS


def test_torch_and_transformers_have_floors_and_ceilings():
    for name in ("torch", "transformers"):
        operators = {one.operator for one in declared()[name].specifier}
        assert operators == {">=", "<"}


def test_the_lowest_releases_are_the_floors():
    script = runpy.run_path(str(SCRIPT))
    floors = script["floors"](PROJECT)
    assert len(floors) == len(PROJECT["dependencies"])
    for line in floors:
        name, version = line.split("==")
        assert declared()[plain(name)].specifier.contains(version)
    with pytest.raises(SystemExit, match="write its floor"):
        script["floors"]({"dependencies": ["torch<3"]})


def test_the_fast_tests_and_their_tools_are_there():
    script = runpy.run_path(str(SCRIPT))
    assert all((ROOT / "tests" / name).exists() for name in script["FAST"])
    assert len(script["tools"](PROJECT)) == len(script["TOOLS"])


def test_another_word_is_a_usage_error():
    run = subprocess.run([sys.executable, SCRIPT, "middle"], capture_output=True, text=True)
    assert run.returncode == 1
    assert "lowest|newest" in run.stderr


def test_the_version_is_written_alike_in_both_places():
    assert PROJECT["version"] == pm_audit.__version__
