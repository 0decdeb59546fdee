"""An audit in a clone needs the package's own dependencies alone, not what the tests bring."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]

BLOCKED = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
import pytest
sys.exit(pytest.main({arguments!r}))
"""

MODULES = {"import-linter": "importlinter", "pytest-xdist": "xdist", "sae-lens": "sae_lens"}


def modules_of_the_test_extra() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = [re.match(r"[\w-]+", line)[0] for line in project["optional-dependencies"]["test"]]
    return {MODULES.get(name, name.replace("-", "_")) for name in names}


def collect(*arguments: str) -> subprocess.CompletedProcess:
    blocked = modules_of_the_test_extra()
    assert {"xdist", "ruff", "lxml"} <= blocked
    # what pytest itself would load of them, as if it were not installed
    without = [word for name in ("xdist",) for word in ("-p", f"no:{name}")]
    words = [*without, "-p", "no:cacheprovider", "--collect-only", "-q", *arguments]
    code = BLOCKED.format(names=blocked, arguments=words)
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_the_shipped_hypotheses_are_collected_without_the_test_extra():
    run = collect("--pm-audit")
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.count("/gap") == len(list((ROOT / "hypotheses").rglob("*.yaml")))


def test_the_tests_need_the_test_extra():
    run = collect("tests/report/test_junit.py")
    assert run.returncode != 0
    assert "No module named 'lxml" in run.stdout + run.stderr
