"""A run from outside: what it prints, writes and exits with."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from datetime import timedelta

import pytest

from pm_audit.records import AuditRecord, Check
from pm_audit.spec import today


def record_of(pytester) -> AuditRecord:
    return AuditRecord.read(pytester.path / "reports" / "record.json")


def audits(pytester) -> list[str]:
    log = pytester.path / "audits.log"
    return [line.split()[0] for line in log.read_text().splitlines()] if log.exists() else []


def run(pytester, *arguments: str):
    return pytester.runpytest_subprocess("--pm-audit", *arguments)


def test_a_passing_run_exits_zero_and_writes_a_complete_record(project, pytester):
    project("i-dont-know")
    result = run(pytester)
    assert result.ret == 0
    result.assert_outcomes(passed=4)
    record = record_of(pytester)
    assert record.complete
    assert [entry.name for entry in record.manifest] == ["i-dont-know"]
    assert len(record.manifest[0].sha256) == 64
    assert [c.check for c in record.hypotheses[0].checks] == list(Check)
    assert audits(pytester) == ["i-dont-know"]


def test_outcomes_become_what_pytest_calls_them(project, pytester):
    project("urls", "length", "youre-right")
    result = run(pytester, "-rA")
    assert result.ret == 1
    result.assert_outcomes(passed=5, failed=5, skipped=2)
    result.stdout.fnmatch_lines(
        [
            "refuted: closure 0.32 * is below the 0.60 required; 68% of the gap is unexplained",
            "  at        hypotheses/urls.yaml:12",
            "  gap       * sigma *, * raw",
            "  residual  * sigma *, 68% of the gap",
            "  again     pytest --pm-audit *hypotheses/urls.yaml",
        ]
    )
    result.stdout.no_fnmatch_line("*Traceback*")
    assert record_of(pytester).complete


def test_inconclusive_passes_only_when_the_user_says_so(project, pytester):
    project("answers-the-question")
    assert run(pytester).ret == 1
    assert run(pytester, "--pm-audit-inconclusive=pass").ret == 0


def test_severity_warn_reports_and_does_not_fail(project, pytester):
    project("urls", extra="severity: warn\n")
    result = run(pytester)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*3 passed*1 warned*"])
    assert record_of(pytester).hypotheses[0].severity == "warn"


SOON = (today() + timedelta(days=30)).isoformat()
BIAS = "known_bias: {{reason: known, ticket: PM-1, expires: '{expires}'}}\n"


def test_known_bias_excuses_a_refuted_gap_until_it_expires(project, pytester):
    project("youre-right", extra=BIAS.format(expires=SOON))
    result = run(pytester)
    assert result.ret == 0
    result.assert_outcomes(passed=1, xfailed=1, skipped=2)
    project("youre-right", extra=BIAS.format(expires="2001-01-01"))
    result = run(pytester)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*expired   known bias PM-1: 2001-01-01"])


def test_known_bias_that_is_gone_fails_and_an_error_is_never_excused(project, pytester):
    project("i-dont-know", extra=BIAS.format(expires=SOON))
    result = run(pytester)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*XPASS(strict)*PM-1*"])
    (pytester.path / "hypotheses" / "i_dont_know.yaml").unlink()
    project("broken-pm", extra=BIAS.format(expires=SOON))
    result = run(pytester)
    assert result.ret == 1
    result.assert_outcomes(errors=4)


@pytest.mark.parametrize(
    ("outcome", "severity", "options", "expected"),
    [
        ("fail", "warn", (), {"passed": 3}),
        ("pass", "warn", (), {"passed": 4}),
        ("inconclusive", "error", ("--pm-audit-inconclusive=pass",), {"passed": 3, "xfailed": 1}),
    ],
)
def test_what_never_fails_the_run_needs_no_excuse_and_ends_none(
    project, pytester, outcome, severity, options, expected
):
    record = json.loads((pytester.path / "stored_record.json").read_text())
    record["hypotheses"][0]["checks"][0]["outcome"] = outcome
    (pytester.path / "stored_record.json").write_text(json.dumps(record))
    bias = BIAS.format(expires=SOON)
    project("i-dont-know", extra=f"{bias}severity: {severity}\n")
    result = run(pytester, *options)
    assert result.ret == 0
    result.assert_outcomes(**expected)


def test_an_audit_error_is_one_message_and_a_bug_keeps_its_traceback(project, pytester):
    project("broken-pm", "crash")
    result = run(pytester)
    result.assert_outcomes(errors=8)
    text = result.stdout.str()
    assert "model/: no reward head; name a checkpoint that has one" in text
    assert "this is a bug of pm_audit" in text
    assert text.count("RuntimeError: a bug") >= 1
    assert "AuditStoppedError" not in text
    assert "def setup" not in text
    assert audits(pytester) == ["broken-pm", "crash"]


@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n", "2")], ids=["serial", "-n 2"])
def test_a_pm_that_cannot_be_loaded_is_one_usage_error(project, pytester, workers):
    project("urls", "length")
    result = run(pytester, "--pm-audit-pm", "missing", *workers)
    assert result.ret == 4
    message = "missing: no such model folder; check --pm-audit-pm"
    result.stderr.fnmatch_lines([f"ERROR: {message}"])
    text = result.stdout.str() + result.stderr.str()
    assert text.count(message) == 1
    assert "Traceback" not in text
    assert "INTERNALERROR" not in text
    assert audits(pytester) == []
    assert not (pytester.path / "reports").exists()


def test_broken_yaml_is_a_usage_error_with_every_fault(project, pytester):
    project("urls")
    for name in ("one", "two"):
        (pytester.path / "hypotheses" / f"{name}.yml").write_text(f"name: {name}\nwrong: 1\n")
    result = run(pytester)
    assert result.ret == 4
    text = result.stderr.str() + result.stdout.str()
    assert "hypotheses/one.yml:2" in text
    assert "hypotheses/two.yml:2" in text
    assert "Traceback" not in text
    assert audits(pytester) == []


def test_duplicate_names_and_missing_folders_are_usage_errors(project, pytester):
    result = run(pytester)
    assert result.ret == 4
    project("urls")
    twin = pytester.path / "hypotheses" / "urls.yaml"
    (pytester.path / "hypotheses" / "twin.yaml").write_text(twin.read_text())
    result = run(pytester)
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*name `urls` is taken by*"])


def test_a_pm_elsewhere_that_moves_the_root_is_named(project, pytester, tmp_path):
    project("i-dont-know")
    (tmp_path / "pm").mkdir()
    result = run(pytester, "--pm-audit-pm", str(tmp_path / "pm"))
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*can do that: write --pm-audit-pm=PATH"])
    assert run(pytester, f"--pm-audit-pm={tmp_path / 'pm'}").ret == 0


@pytest.mark.parametrize(
    "selection",
    [
        ("-k", "gap"),
        ("--deselect", "hypotheses/urls.yaml::urls/fit"),
        ("-m", "nothing"),
        ("-x",),
        ("--maxfail=1",),
        ("--ignore", "hypotheses/urls.yaml"),
        ("--ignore-glob", "*urls*"),
        ("hypotheses/urls.yaml::urls/gap",),
        ("-p", "no:terminal", "-k", "gap"),
        ("-p", "no:cacheprovider", "-k", "gap"),
    ],
    ids=lambda selection: " ".join(selection[:2]),
)
def test_a_run_that_judged_less_never_passes(project, pytester, selection):
    project("i-dont-know", "urls")
    result = run(pytester, *selection)
    assert result.ret != 0
    path = pytester.path / "reports" / "record.json"
    assert not path.exists() or not record_of(pytester).complete


def test_a_partial_run_exits_zero_on_request_and_stays_partial(project, pytester):
    project("i-dont-know")
    result = run(pytester, "-k", "gap", "--pm-audit-allow-partial")
    assert result.ret == 0
    record = record_of(pytester)
    assert not record.complete
    assert [c.check for c in record.hypotheses[0].checks] == [Check.GAP]
    result.stdout.fnmatch_lines(["PARTIAL: 1 of 4 checks*"])


def test_a_partial_run_never_becomes_a_baseline(project, pytester):
    project("i-dont-know")
    update = ("--pm-audit-baseline", "base.json", "--pm-audit-update-baseline")
    for selection in ((), ("--pm-audit-allow-partial",)):
        run(pytester, "-k", "gap", *update, *selection)
        assert not (pytester.path / "base.json").exists()


def test_last_failed_is_partial(project, pytester):
    project("i-dont-know", "urls")
    assert run(pytester).ret == 1
    assert record_of(pytester).complete
    assert run(pytester, "--lf").ret == 1
    assert record_of(pytester).complete, "the fuller record stays"
    assert not AuditRecord.read(pytester.path / "reports" / "record.partial.json").complete


def test_ctrl_c_is_partial(project, pytester, monkeypatch):
    monkeypatch.setenv("STAND_IN_INTERRUPTS", "urls")
    project("i-dont-know", "urls")
    result = run(pytester)
    assert result.ret == 2
    assert not record_of(pytester).complete
    assert [h.name for h in record_of(pytester).hypotheses] == ["i-dont-know"]


@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n", "2")], ids=["serial", "-n 2"])
def test_an_interrupt_from_outside_is_partial(project, pytester, monkeypatch, workers):
    monkeypatch.setenv("STAND_IN_SECONDS", "2")
    project("i-dont-know")
    log = pytester.path / "audits.log"
    # A shell that starts the tests in the background has them, and all below, ignore Ctrl-C.
    listen = "signal.signal(signal.SIGINT, signal.default_int_handler)"
    start = f"import signal, sys, pytest; {listen}; sys.exit(pytest.main())"
    command = [sys.executable, "-c", start, "--pm-audit", *workers]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT) as process:
        deadline = time.monotonic() + 60
        while not log.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
    assert log.exists()
    assert process.returncode != 0
    path = pytester.path / "reports" / "record.json"
    assert not path.exists() or not record_of(pytester).complete


@pytest.mark.parametrize("without", ["no:cacheprovider", "no:terminal", "no:junitxml"])
def test_plugins_of_pytest_can_be_missing(project, pytester, without):
    project("i-dont-know")
    result = run(pytester, "-p", without)
    assert result.ret == 0
    assert record_of(pytester).complete


def test_settings_come_from_every_source(project, pytester):
    project("i-dont-know")
    (pytester.path / "pyproject.toml").write_text('[tool.pm_audit]\nrecord = "out/a.json"\n')
    assert run(pytester).ret == 0
    assert (pytester.path / "out" / "a.json").exists()
    assert run(pytester, "--pm-audit-record", "out/b.json").ret == 0
    assert (pytester.path / "out" / "b.json").exists()
    assert run(pytester, "--pm-audit-candidates=none").ret == 4


def test_the_record_is_ascii_json(project, pytester):
    project("urls")
    run(pytester)
    text = (pytester.path / "reports" / "record.json").read_text(encoding="utf-8")
    assert text.isascii()
    assert "\x1b" not in text
    assert "##[" not in text
    texts = {row["text"] for row in json.loads(text)["hypotheses"][0]["evidence"]["rows"]}
    assert "\x1b[31m ::error::see <script>alert(1)</script> http://x.com" in texts


def test_a_project_that_makes_warnings_errors_can_still_audit(project, pytester):
    project("i-dont-know")
    result = run(pytester, "-W", "error")
    assert result.ret == 0
    assert record_of(pytester).complete


def test_what_may_not_be_as_meant_is_said(project, pytester):
    project("i-dont-know")
    path = pytester.path / "hypotheses" / "i_dont_know.yaml"
    path.write_text(path.read_text().replace('[" It is known."]', '["It is known."]'))
    result = run(pytester)
    result.stdout.fnmatch_lines(["warning: hypotheses/i_dont_know.yaml:*begin with a space*"])
