"""Where a run leaves its record and its page, and which records it leaves alone."""

from __future__ import annotations

from importlib import import_module

import pytest

from pm_audit.records import AuditRecord

# pytester unloads what a run inside this process imports first, and numpy loads only once
import_module("pm_audit.pytest_plugin.run")


def record_of(pytester) -> AuditRecord:
    return AuditRecord.read(pytester.path / "reports" / "record.json")


def audits(pytester) -> list[str]:
    log = pytester.path / "audits.log"
    return [line.split()[0] for line in log.read_text().splitlines()] if log.exists() else []


def run(pytester, *arguments: str):
    run_pytest = (
        pytester.runpytest_subprocess if "-n" in arguments else pytester.runpytest_inprocess
    )
    return run_pytest("--pm-audit", *arguments)


SMALLER = [
    ("-k", "gap"),
    ("hypotheses/urls.yaml",),
    ("hypotheses/urls.yaml::urls/explained",),
    ("--deselect", "hypotheses/urls.yaml::urls/fit"),
    ("--lf",),
    ("-x",),
    ("--pm-audit-allow-partial", "hypotheses/urls.yaml::urls/gap"),
    ("-k", "gap", "-p", "xdist", "-n", "2"),
]


@pytest.mark.parametrize("selection", SMALLER, ids=lambda selection: " ".join(selection[:2]))
def test_a_smaller_run_keeps_the_fuller_record(project, pytester, selection):
    project("i-dont-know", "urls")
    run(pytester)
    reports = pytester.path / "reports"
    before = {path.name: path.read_bytes() for path in reports.iterdir()}
    assert before.keys() == {"record.json", "record.html"}
    result = run(pytester, *selection)
    assert {name: (reports / name).read_bytes() for name in before} == before
    smaller = AuditRecord.read(reports / "record.partial.json")
    assert len(smaller.hypotheses) < 2 or not smaller.complete
    result.stdout.fnmatch_lines(
        ["record: *record.partial.json (*record.json holds checks that this run did not judge*)"]
    )
    assert result.stdout.lines[-1].endswith("record.partial.html")


def test_a_record_that_is_named_is_written_whatever_the_run_judged(project, pytester):
    project("i-dont-know", "urls")
    named = ("--pm-audit-record", "reports/record.json")
    run(pytester)
    result = run(pytester, "hypotheses/urls.yaml", *named)
    assert [one.name for one in record_of(pytester).hypotheses] == ["urls"]
    result.stdout.no_fnmatch_line("*was left as it was*")


def test_a_run_of_the_whole_folder_replaces_any_record(project, pytester):
    project("i-dont-know", "urls")
    run(pytester)
    (pytester.path / "hypotheses" / "urls.yaml").unlink()
    assert run(pytester).ret == 0
    assert [one.name for one in record_of(pytester).hypotheses] == ["i-dont-know"]


def test_the_again_command_of_a_failure_costs_nothing(project, pytester):
    project("i-dont-know", "urls")
    first = run(pytester)
    again = next(line for line in first.stdout.lines if line.startswith("  again"))
    before = (pytester.path / "reports" / "record.json").read_bytes()
    words = again.split()[1:]
    assert words[:2] == ["pytest", "--pm-audit"]
    assert run(pytester, *words[2:]).ret == 1
    assert (pytester.path / "reports" / "record.json").read_bytes() == before


@pytest.mark.parametrize("page", ["record.html", "record.partial.html"])
def test_a_page_that_could_not_be_written_is_refused_before_the_audit(project, pytester, page):
    project("urls")
    (pytester.path / "reports" / page).mkdir(parents=True)
    result = run(pytester)
    assert result.ret == 4
    result.stderr.fnmatch_lines([f"*{page}: is not a regular file*"])
    assert audits(pytester) == []


def test_the_page_is_written_and_its_path_printed_last(project, pytester):
    project("i-dont-know")
    result = run(pytester)
    page = pytester.path / "reports" / "record.html"
    assert result.stdout.lines[-1] == f"page: {page}"
    assert "i-dont-know" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("named", "holds"),
    [
        ("hypotheses/i_dont_know.yaml", None),
        ("conftest.py", None),
        ("package.json", '{"name": "mine"}'),
        ("reports/release.json", None),
    ],
)
def test_a_file_that_no_run_wrote_is_never_replaced(project, pytester, named, holds):
    project("i-dont-know")
    path = pytester.path / named
    if named == "reports/release.json":  # its page would take this place
        path = path.with_suffix(".html")
        holds = "<!doctype html><p>mine"
    path.parent.mkdir(exist_ok=True)
    if holds is not None:
        path.write_text(holds)
    before = path.read_text()
    result = pytester.runpytest_inprocess("--pm-audit", f"--pm-audit-record={named}")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*was not written by a run and would be replaced; move it*"])
    assert path.read_text() == before
    assert not (pytester.path / "audits.log").exists()


def test_an_empty_file_and_what_a_run_wrote_are_replaced(project, pytester):
    project("i-dont-know")
    (pytester.path / "reserved.json").touch()
    for _ in range(2):
        run = pytester.runpytest_inprocess("--pm-audit", "--pm-audit-record=reserved.json")
        assert run.ret == 0
    assert (pytester.path / "reserved.html").exists()
