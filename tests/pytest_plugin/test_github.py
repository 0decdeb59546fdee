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


def comment(pytester, *arguments: str) -> str:
    pytester.runpytest_subprocess("--pm-audit", "--pm-audit-comment=out/comment.md", *arguments)
    return (pytester.path / "out" / "comment.md").read_text(encoding="utf-8")


def test_a_comment_is_written_whatever_the_run_amounts_to(project, pytester):
    project("i-dont-know")
    assert comment(pytester).startswith("## pm\\_audit: passes\n")
    gate = ("--pm-audit-baseline=base.json",)
    updated = comment(pytester, *gate, "--pm-audit-update-baseline")
    assert updated.startswith("## pm\\_audit: passes\n")
    held = comment(pytester, *gate)
    assert held.startswith("## pm\\_audit: no regression in 1 hypothesis against the baseline\n")
    project("urls")
    worse = comment(pytester, *gate)
    assert worse.startswith("## pm\\_audit: REGRESSED: 1 regression against the baseline\n")
    assert "**urls** `hypotheses/urls.yaml:2`: no baseline: " in worse
    partial = comment(pytester, *gate, "-k", "gap")
    assert "not every check of the manifest was judged" in partial.splitlines()[0]


def test_a_comment_holds_the_notes_on_record_and_baseline(project, pytester):
    project("urls")
    pytester.runpytest_subprocess(
        "--pm-audit", "--pm-audit-baseline=base.json", "--pm-audit-update-baseline"
    )
    (pytester.path / "base.notes.yaml").write_text(
        "- {hypothesis: urls, note: known since May, author: Ada, day: 2026-05-01}\n"
    )
    notes = pytester.path / "reports" / "record.notes.yaml"
    notes.write_text("- {hypothesis: gone, note: it was, author: Ada, day: 2026-06-01}\n")
    result = pytester.runpytest_subprocess(
        "--pm-audit", "--pm-audit-baseline=base.json", "--pm-audit-comment=comment.md"
    )
    result.stdout.fnmatch_lines(
        ["warning: reports/record.notes.yaml:1:16: the record holds no hypothesis 'gone'; *"]
    )
    text = (pytester.path / "comment.md").read_text(encoding="utf-8")
    assert "* **urls**: known since May \\(Ada, 2026-05-01\\)" in text
    notes.write_text("- {hypothesis: urls, note: see the page, author: Bo, day: 2026-06-01}\n")
    pytester.runpytest_subprocess("--pm-audit")
    page = (pytester.path / "reports" / "record.html").read_text(encoding="utf-8")
    assert "see the page" in page
    assert "Note of Bo, 2026-06-01" in page


@pytest.mark.parametrize(
    ("argument", "because"),
    [
        ("--pm-audit-comment=reports/record.json", "is the run's record or baseline"),
        ("--pm-audit-comment=", "--pm-audit-comment is empty"),
        ("--pm-audit-comment=hypotheses", "is not a regular file"),
        ("--pm-audit-comment=hypotheses/urls.yaml", "was not written by a run"),
    ],
)
def test_a_comment_that_could_not_be_written_is_refused_at_once(
    project, pytester, argument, because
):
    project("urls")
    result = pytester.runpytest_inprocess("--pm-audit", argument)
    assert result.ret == 4
    result.stderr.fnmatch_lines([f"*{because}*"])
    assert not (pytester.path / "audits.log").exists()


def test_notes_that_cannot_be_read_are_refused_at_once(project, pytester):
    project("urls")
    (pytester.path / "reports").mkdir()
    (pytester.path / "reports" / "record.notes.yaml").write_text("- {note: 5}\n")
    result = pytester.runpytest_inprocess("--pm-audit")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*reports/record.notes.yaml:1:10: `note` must be text*"])
    assert not (pytester.path / "audits.log").exists()
