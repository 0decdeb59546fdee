"""The pytest door under xdist: one audit a hypothesis, nothing lost, nothing invented."""

from __future__ import annotations

import pytest

from pm_audit.records import AuditRecord

pytest.importorskip("xdist")


def record_of(pytester) -> AuditRecord:
    return AuditRecord.read(pytester.path / "reports" / "record.json")


def run(pytester, *arguments: str):
    return pytester.runpytest_subprocess("--pm-audit", "-p", "xdist", "-n", "2", *arguments)


def audits(pytester) -> list[list[str]]:
    return [line.split() for line in (pytester.path / "audits.log").read_text().splitlines()]


def test_two_workers_audit_each_hypothesis_once_and_agree_with_a_serial_run(
    project, pytester, monkeypatch
):
    monkeypatch.setenv("STAND_IN_SECONDS", "0.3")
    project("i-dont-know", "urls", "youre-right", "length")
    result = run(pytester)
    result.assert_outcomes(passed=9, failed=5, skipped=2)
    assert result.ret == 1
    parallel = record_of(pytester)
    assert parallel.complete
    log = audits(pytester)
    assert sorted(name for name, _ in log) == ["i-dont-know", "length", "urls", "youre-right"]
    assert len({process for _, process in log}) == 2
    pytester.runpytest_subprocess("--pm-audit")
    assert record_of(pytester).hypotheses == parallel.hypotheses


def test_a_killed_worker_never_ends_in_a_pass(project, pytester, monkeypatch):
    monkeypatch.setenv("STAND_IN_KILLS", "urls")
    project("i-dont-know", "urls")
    result = run(pytester, "--max-worker-restart", "1")
    assert result.ret != 0
    path = pytester.path / "reports" / "record.json"
    assert not path.exists() or not record_of(pytester).complete


@pytest.mark.parametrize("mode", ["loadscope", "loadfile", "loadgroup", "each", "worksteal"])
def test_modes_that_lose_results_are_refused(project, pytester, mode):
    project("i-dont-know")
    result = run(pytester, "--dist", mode)
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*run --pm-audit with --dist load*"])


@pytest.mark.parametrize("without", ["no:cacheprovider", "no:terminal"])
def test_plugins_of_pytest_can_be_missing(project, pytester, without):
    project("i-dont-know")
    result = run(pytester, "-p", without)
    assert result.ret == 0
    assert record_of(pytester).complete


def test_selection_is_partial(project, pytester):
    project("i-dont-know", "urls")
    assert run(pytester, "-k", "gap").ret == 1
    assert not record_of(pytester).complete


def test_broken_input_is_one_message(project, pytester):
    project("urls")
    (pytester.path / "hypotheses" / "bad.yaml").write_text("name: bad\n")
    result = run(pytester)
    assert result.ret == 4
    assert result.stderr.str().count("hypotheses/bad.yaml") >= 1
    assert "Traceback" not in result.stderr.str() + result.stdout.str()
