"""``--pm-audit-gate regressions``: a run is held against its baseline and nothing else."""

from __future__ import annotations

import json
from datetime import timedelta
from importlib import import_module

import pytest

from pm_audit.records import Check
from pm_audit.spec import today

# pytester unloads what a run inside this process imports first, and numpy loads only once
for name in ("pm_audit.release", "pm_audit.pytest_plugin.run"):
    import_module(name)

GATE = ("--pm-audit", "--pm-audit-baseline=base.json")
REGRESSIONS = (*GATE, "--pm-audit-gate=regressions")
UPDATE = (*REGRESSIONS, "--pm-audit-update-baseline")
EVERY = ("i-dont-know", "urls", "youre-right", "length", "answers-the-question")
WORKERS = pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n2")], ids=["serial", "n2"])


def expected_to_be(**update):
    """Return an edit of the stored record, which is what the audit of the next run finds."""

    def edit(one):
        for check in one["checks"]:
            check["outcome"] = update.get(check["check"], check["outcome"])

    return edit


@pytest.fixture
def run(pytester):
    """Return what runs pytest: in a process of its own where xdist forks from it."""

    def run_pytest(*arguments):
        if "-n2" in arguments:
            return pytester.runpytest_subprocess(*arguments)
        return pytester.runpytest_inprocess(*arguments)

    return run_pytest


@pytest.fixture
def found(pytester):
    """Return ``found(name, edit)``: the next audit of a hypothesis finds something else."""

    def change(name, edit):
        path = pytester.path / "stored_record.json"
        record = json.loads(path.read_text())
        edit(next(one for one in record["hypotheses"] if one["name"] == name))
        path.write_text(json.dumps(record))

    return change


@pytest.fixture
def accepted(project, pytester, run):
    """Write every stored hypothesis and the baseline of them."""
    for name in EVERY:
        project(name)
    expect = "expect:\n  gap: none\n"
    path = pytester.path / "hypotheses" / "youre_right.yaml"
    path.write_text(path.read_text().replace("expect:\n  gap: lowers\n", expect))
    result = run(*UPDATE)
    assert result.ret == 0
    return pytester.path / "base.json"


@WORKERS
def test_the_same_pm_twice_passes_and_says_what_is_known(accepted, pytester, workers, run):
    result = run(*REGRESSIONS, *workers)
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "no regression in 5 hypotheses against the baseline; 6 checks are not passed, as *",
            "  urls: known from the baseline: explained: fail: *",
            "*6 known*",
        ]
    )
    assert "failed" not in result.stdout.lines[-1]
    absolute = run(*GATE, *workers)
    assert absolute.ret == 1
    absolute.stdout.fnmatch_lines(["no regression in 5 hypotheses against the baseline"])


@WORKERS
@pytest.mark.parametrize(
    ("name", "outcomes", "named"),
    [
        ("i-dont-know", {"explained": "fail"}, "! i-dont-know: check worse: explained: pass to *"),
        ("i-dont-know", {"fit": "inconclusive"}, "! i-dont-know: check worse: fit: pass to inc*"),
        ("urls", {"explained": "invalid"}, "! urls: check worse: explained: fail to invalid*"),
        ("length", {"specific": "fail"}, "! length: check not passed: specific: fail: *"),
    ],
    ids=["fail", "inconclusive", "invalid", "judged at last"],
)
def test_what_is_worse_fails(accepted, pytester, found, name, outcomes, named, workers, run):
    found(name, expected_to_be(**outcomes))
    result = run(*REGRESSIONS, *workers)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["REGRESSED: *", named])


def test_a_check_that_became_better_passes(accepted, pytester, found, run, monkeypatch):
    # only the stored outcome is edited here; the evidence below it would be better too
    monkeypatch.setattr("pm_audit.pytest_plugin.outcome.unfounded", lambda *_: ())
    found("urls", expected_to_be(explained="pass"))
    result = run(*REGRESSIONS)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["  urls: check better: explained: fail to pass*"])


def test_a_new_hypothesis_is_held_to_what_it_expects(accepted, project, pytester, run):
    project("another")  # answered with what the stored record holds first, which passes
    assert run(*REGRESSIONS).ret == 0
    record = json.loads((pytester.path / "stored_record.json").read_text())
    record["hypotheses"].insert(0, record["hypotheses"].pop(1))
    (pytester.path / "stored_record.json").write_text(json.dumps(record))
    result = run(*REGRESSIONS)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["! another: check not passed: explained: fail: *"])


@WORKERS
@pytest.mark.parametrize(
    "skip", [("-k", "not urls"), ("--deselect=hypotheses/urls.yaml",), ("-x",)]
)
def test_a_partial_run_fails_whatever_else_is_allowed(
    accepted, pytester, skip, workers, found, run
):
    if skip == ("-x",):
        found("i-dont-know", expected_to_be(gap="fail", explained="fail"))
    before = accepted.read_bytes()
    for more in ((), ("--pm-audit-allow-partial",)):
        assert run(*REGRESSIONS, *workers, *skip, *more).ret != 0
    if skip != ("-x",):
        result = run(*UPDATE, *workers, *skip, "--pm-audit-allow-partial")
        assert result.ret == 1
        result.stdout.fnmatch_lines(["baseline not written: only a complete run becomes one; *"])
    assert accepted.read_bytes() == before


def test_an_error_fails(accepted, project, pytester, run):
    project("broken-pm")
    assert run(*REGRESSIONS).ret == 1
    assert run(*UPDATE).ret == 1


def test_without_a_baseline_it_is_a_usage_error(project, pytester, run):
    project("i-dont-know")
    result = run("--pm-audit", "--pm-audit-gate=regressions")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*--pm-audit-baseline FILE, which --pm-audit-update-baseline *"])
    result = run(*REGRESSIONS)
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*base.json: no such record; * --pm-audit-update-baseline *"])
    result = run(*GATE, "--pm-audit-gate=laxer")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*`gate`*absolute*regressions*"])


@pytest.mark.parametrize("source", ["ini", "pyproject"])
def test_the_mode_is_a_setting(accepted, pytester, source, run):
    if source == "ini":
        pytester.makeini("[pytest]\npm_audit_gate = regressions\npm_audit_baseline = base.json\n")
    else:
        table = '[tool.pm_audit]\ngate = "regressions"\nbaseline = "base.json"\n'
        pytester.makepyprojecttoml(table)
    assert run("--pm-audit").ret == 0
    assert run("--pm-audit", "--pm-audit-gate=absolute").ret == 1


def test_an_update_names_what_it_drops_and_what_became_worse(accepted, pytester, found, run):
    (pytester.path / "hypotheses" / "length.yaml").unlink()
    found("i-dont-know", expected_to_be(explained="fail"))
    result = run(*UPDATE, "--pm-audit-seed=1")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "baseline written: *base.json",
            "accepted: i-dont-know (hypotheses/i_dont_know.yaml:12): check worse: explained: *",
            "dropped: length (hypotheses/length.yaml:*): hypothesis gone",
        ]
    )
    assert run(*REGRESSIONS).ret == 4, "what was found does not follow from its evidence"


def test_an_update_of_a_doctored_baseline_says_that_it_proves_nothing(accepted, pytester, run):
    record = json.loads(accepted.read_text())
    record["complete"] = False
    accepted.write_text(json.dumps(record))
    result = run(*UPDATE)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["the changes are unknown, because the old baseline proves *"])


class TestAKnownBiasOnEveryCheck:
    def bias(self, *, checks: str, days: int = 30) -> str:
        expires = today() + timedelta(days=days)
        return (
            "known_bias:\n  reason: inherited\n  ticket: PM-3\n"
            f"  expires: '{expires}'\n  checks: {checks}\n"
        )

    @WORKERS
    def test_it_accepts_what_it_covers(self, project, pytester, workers, run):
        project("urls", extra=self.bias(checks="[explained]"))
        result = run("--pm-audit", *workers)
        assert result.ret == 0
        result.assert_outcomes(passed=3, xfailed=1)

    def test_a_covered_check_that_passes_is_an_error(self, project, pytester, run):
        project("urls", extra=self.bias(checks="[gap, explained]"))
        result = run("--pm-audit")
        assert result.ret == 1
        result.assert_outcomes(passed=2, xfailed=1, failed=1)

    def test_it_accepts_no_invalid_check(self, project, pytester, run):
        project("length", extra=self.bias(checks="[gap, explained, specific]"))
        result = run("--pm-audit")
        assert result.ret == 1
        result.assert_outcomes(passed=1, xfailed=1, failed=2)

    def test_an_expired_one_is_no_excuse_against_the_baseline_either(
        self, project, pytester, accepted, run
    ):
        project("urls", extra=self.bias(checks="[explained]", days=-1))
        result = run(*REGRESSIONS)
        assert result.ret == 1
        result.stdout.fnmatch_lines(["! urls: check not passed: explained: * PM-3 expired on *"])


@WORKERS
def test_the_short_summary_shows_the_reason_and_the_path_once(
    project, pytester, monkeypatch, run, workers
):
    monkeypatch.setenv("CI", "true")  # pytest then cuts no line
    project("urls", "broken-pm")
    result = run("--pm-audit", "-ra", *workers)
    *_, summary = result.stdout.str().partition(" short test summary info ")
    *errors, failure, _ = summary.splitlines()[1:7]
    assert failure.startswith(
        "FAILED hypotheses/urls.yaml::urls/explained - refuted: closure 0.32 [0.28, 0.35] is below"
    )
    message = "model/: no reward head; name a checkpoint that has one"
    # workers finish in any order
    assert sorted(errors) == sorted(
        f"ERROR hypotheses/broken_pm.yaml::broken-pm/{check} - {message}" for check in Check
    )
