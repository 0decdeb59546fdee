"""`pm_audit/README.md`, the map of the code, names what is there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "pm_audit"
MAP = (PACKAGE / "README.md").read_text(encoding="utf-8")
WALK = MAP.partition("## A maintainer's walk")[2].partition("\n## ")[0]
STEPS = re.findall(r"^\| (\d+) \| `(\S+)` \| (.+) \|$", WALK, re.MULTILINE)
LONGEST_WALK = 30

GROUPS = ("checks", "replacements", "baselines", "reports", "pms", "saes")


def exists(name: str) -> bool:
    return any((base / name).exists() for base in (PACKAGE, ROOT))


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(\w+/[\w/]*(?:\.py|\.toml)?)`", MAP))))
def test_every_file_and_folder_exists(name):
    assert exists(name)


def test_the_walk_is_short_and_says_what_each_module_does():
    assert 20 <= len(STEPS) <= LONGEST_WALK
    assert [int(number) for number, _, _ in STEPS] == list(range(1, len(STEPS) + 1))
    modules = [module for _, module, _ in STEPS]
    assert len(set(modules)) == len(modules)
    assert all((PACKAGE / module).is_file() for module in modules)


def test_every_floor_has_its_row():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (floors,) = (
        contract["layers"]
        for contract in settings["tool"]["importlinter"]["contracts"]
        if contract["type"] == "layers"
    )
    table = MAP.partition("## Floors")[2].partition("\n## ")[0]
    rows = [
        set(re.findall(r"`(\w+)`", line.split("|")[1]))
        for line in table.splitlines()
        if "|" in line
    ]
    for floor in floors:
        assert set(floor.replace(" ", "").split("|")) in rows


def test_every_extension_point_is_one_that_the_code_reads():
    code = "".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    for group in GROUPS:
        assert f"| `pm_audit.{group}` |" in MAP
        assert f'"pm_audit.{group}"' in code
