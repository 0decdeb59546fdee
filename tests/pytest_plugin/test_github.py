"""What a run leaves on GitHub, and what hostile texts cannot make it leave."""

from __future__ import annotations

import os

import pytest


@pytest.fixture
def job(monkeypatch, pytester):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(pytester.path / "summary.md"))


def commands(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.lstrip().startswith("::") or "##[" in line]


def test_failures_are_annotated_on_their_line_and_summarised(job, project, pytester):
    project("urls", "youre-right", "length", extra="severity: warn\n")
    project("urls")
    result = pytester.runpytest_subprocess("--pm-audit", "-v", "-rA")
    found = commands(result.stdout.str())
    assert [line.split("title=")[0] for line in found] == [
        "::error file=hypotheses/urls.yaml,line=12,",
        "::warning file=hypotheses/length.yaml,line=13,",
        "::warning file=hypotheses/length.yaml,line=12,",
        "::warning file=hypotheses/length.yaml,line=12,",
        "::warning file=hypotheses/youre_right.yaml,line=13,",
    ]
    summary = (pytester.path / "summary.md").read_text(encoding="utf-8")
    assert summary.startswith("# Audit of default")
    assert "**FAIL**" in summary


def test_off_github_nothing_is_annotated(project, pytester, monkeypatch):
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    project("urls")
    result = pytester.runpytest_subprocess("--pm-audit", "-v", "-rA")
    assert commands(result.stdout.str()) == []
    assert "\x1b" not in result.stdout.str()


def test_a_regression_is_annotated(job, project, pytester):
    project("i-dont-know")
    gate = ("--pm-audit", "--pm-audit-baseline", "base.json")
    pytester.runpytest_subprocess(*gate, "--pm-audit-update-baseline")
    project("urls")
    result = pytester.runpytest_subprocess(*gate)
    assert result.ret == 1
    assert any("title=urls%3A no baseline" in line for line in commands(result.stdout.str()))
    summary = (pytester.path / "summary.md").read_text(encoding="utf-8")
    assert "# Comparison of two audits" in summary


@pytest.mark.parametrize("kind", ["fifo", "folder", "full"])
def test_a_summary_that_cannot_be_written_is_a_warning(job, project, pytester, monkeypatch, kind):
    project("i-dont-know")
    path = pytester.path / "place"
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "full":
            path.symlink_to("/dev/full")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    result = pytester.runpytest_inprocess("--pm-audit")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["warning: GITHUB_STEP_SUMMARY cannot be written: *"])
