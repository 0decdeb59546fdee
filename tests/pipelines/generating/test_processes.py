"""One search in one process, in two, in a killed one and again: the same shrunk edit."""

from __future__ import annotations

from pathlib import Path

import pytest

from pm_audit.records import AuditRecord

ROOT = Path(__file__).parents[3]

CONFTEST = f"""
import os, sys
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
HERE = Path(__file__).parent


def pytest_pm_audit_auditor(config, settings, progress):
    from pm_audit.pipelines.audit import Auditor
    from pm_audit.pipelines.generating import gaps
    from recipes.planted.linear import plant
    model, read = plant({{"!": 0.6}}, seed=1), gaps.read_rewards

    def killed_once(pm, rows):
        if len(rows) > 50 and (HERE / "kill").exists():
            (HERE / "kill").unlink()
            os._exit(9)
        return read(pm, rows)

    gaps.read_rewards = killed_once
    return Auditor(settings, subject=(model.pm, (model.sae,)), progress=progress)
"""


def hypothesis(name: str, edits: str) -> str:
    prompts = "\n".join(
        f"    - {{id: p{number:02}, wordings: [Where is number {number:02}?]}}"
        for number in range(12)
    )
    return f"""
- name: {name}
  claim: No edit moves the reward.
  prompts:
{prompts}
  generate: {{base: " Ask at the mill", edits: {edits}, examples: 30, prompts: 4}}
  expect: {{gap: none, margin: 1}}
"""


@pytest.fixture
def project(pytester, monkeypatch):
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "pm_audit.pytest_plugin.plugin")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("CI", raising=False)  # hypothesis keeps nothing there
    pytester.makeconftest(CONFTEST)
    pytester.makepyprojecttoml(
        "[tool.pytest.ini_options]\n[tool.pm_audit]\nnull_sets = 2\nbootstrap_resamples = 100\n"
        "candidates = 8\nig_steps = 1\n"
    )
    (pytester.path / "hypotheses").mkdir()
    text = hypothesis("marks", "[punctuation]") + hypothesis("both", "[casing, punctuation]")
    (pytester.path / "hypotheses" / "two.yaml").write_text(text, encoding="utf-8")
    return pytester


def found(project, *options: str) -> dict:
    project.runpytest_subprocess("--pm-audit", *options)
    record = AuditRecord.read(project.path / "reports" / "record.json")
    assert record.complete
    return {one.name: one.evidence for one in record.hypotheses}


def test_every_way_to_run_a_search_finds_the_same_edit(project):
    alone = found(project)
    assert all(one.generated.broke for one in alone.values())
    assert (project.path / ".hypothesis").is_dir()
    assert found(project) == alone  # with what the first run kept
    xdist = ("-p", "xdist", "-n", "2")
    assert found(project, *xdist) == alone
    (project.path / "kill").touch()
    project.runpytest_subprocess("--pm-audit", *xdist, "--max-worker-restart", "1")
    assert not (project.path / "kill").exists()
    assert found(project) == alone
