"""A check is one object in one file, and another package adds one by an entry point."""

from __future__ import annotations

import operator
from dataclasses import replace
from importlib.metadata import EntryPoint

import pytest

from pm_audit.errors import RecordError
from pm_audit.judging import CheckRule, Question, rejudge, rules, settle, verify
from pm_audit.judging.checks.rule import Ruling
from pm_audit.records import AuditRecord, Check, Outcome
from pm_audit.records.check import CHECK_GROUP, added_names
from pm_audit.release import compare
from pm_audit.report import glossary, html, junit, markdown, terminal
from pm_audit.report.changes import ChangeKind
from pm_audit.spec import Expect, KnownBias

LIMIT = {"raw": 3.0}


def judge(question: Question) -> Ruling:
    size = abs(question.figures.gap.value)
    outcome = Outcome.PASS if size <= LIMIT["raw"] else Outcome.FAIL
    return outcome, f"the gap is {size:.2f} raw, {LIMIT['raw']:.2f} allowed"


TOY = CheckRule(
    name="small",
    title="is the raw gap small",
    passes="The raw gap is at most 3.",
    judge=judge,
    line_key="expect.margin",
    policy={"margin": operator.lt},
)


def forget() -> None:
    """Read the entry points again, which a process reads once."""
    added_names.cache_clear()
    rules.cache_clear()


@pytest.fixture(autouse=True)
def forgotten():
    """Leave no toy behind; set up before monkeypatch, so torn down after it."""
    yield
    forget()


def offer(monkeypatch: pytest.MonkeyPatch, found: object, name: str = "small") -> None:
    point = EntryPoint(name, "somewhere:TOY", CHECK_GROUP)
    monkeypatch.setattr(EntryPoint, "load", lambda _: found)
    for module in ("pm_audit.extensions", "pm_audit.records.check"):
        monkeypatch.setattr(
            f"{module}.entry_points", lambda group: [point] if group == CHECK_GROUP else []
        )
    forget()


@pytest.fixture
def audited(judged_record_path, monkeypatch) -> AuditRecord:
    """A record that a run with the toy check writes."""
    offer(monkeypatch, TOY)
    return audit_again(AuditRecord.read(judged_record_path))


def audit_again(record: AuditRecord) -> AuditRecord:
    judged = settle([rejudge(one, method=record.method) for one in record.hypotheses])
    manifest = tuple(
        entry.model_copy(update={"checks": Check.known()}) for entry in record.manifest
    )
    return record.model_copy(update={"hypotheses": judged, "manifest": manifest}).sealed()


def test_every_built_in_check_is_one_rule_of_its_name():
    assert list(rules()) == list(Check) == list(Check.known())
    for check, rule in rules().items():
        assert rule.name == check
        assert set(rule.policy) <= set(Expect.model_fields)
        assert rule.line_key == "name" or rule.line_key.removeprefix("expect.") in rule.policy


def test_an_added_check_is_judged_recorded_read_back_and_verified(audited, tmp_path):
    small = Check("small")
    assert small is Check("small")
    assert Check.known() == (*Check, small)
    outcomes = {
        one.name: {result.check: result for result in one.checks}[small]
        for one in audited.hypotheses
    }
    assert outcomes["urls"].outcome is Outcome.FAIL
    assert outcomes["urls"].reason == "the gap is 3.03 raw, 3.00 allowed"
    assert outcomes["length"].outcome is Outcome.PASS
    path = tmp_path / "record.json"
    audited.write(path)
    assert AuditRecord.read(path) == audited
    assert verify(audited) == ()
    bias = {"reason": "r", "ticket": "t", "expires": "2026-01-31", "checks": ["small"]}
    assert KnownBias.model_validate(bias).covers(small)


def test_an_added_check_stands_in_every_report(audited):
    summary = terminal.summary(audited)
    assert summary.splitlines()[0].split()[-5:] == ["gap", "expl", "spec", "fit", "smal"]
    assert "* small: **FAIL**. the gap is 3.03 raw" in markdown.render(audited)
    assert "the gap is 3.03 raw" in html.render(audited)
    assert "<th>small</th>" in audited._repr_html_()
    assert "check_small" in audited.frame().columns
    urls = next(one for one in audited.hypotheses if one.name == "urls")
    properties = dict(junit.properties(urls, urls.checks[-1], result_sha256="0"))
    assert properties["pm_audit.check"] == "small"
    assert glossary.find("check-small").reading == TOY.passes


def test_an_added_check_counts_at_the_gate(audited, monkeypatch):
    monkeypatch.setitem(LIMIT, "raw", 2.0)
    worse = compare(audited, audit_again(audited))
    (change,) = (one for one in worse.changes if one.regression)
    assert (change.kind, change.hypothesis) == (ChangeKind.CHECK_WORSE, "i-dont-know")
    assert change.check is Check("small")


def test_pytest_collects_an_added_check(audited, project, pytester):
    project("urls")
    audited.write(pytester.path / "stored_record.json")
    result = pytester.runpytest_inprocess("--pm-audit", "-v")
    result.stdout.fnmatch_lines(["*urls.yaml::urls/small FAILED*", "*refuted: the gap is 3.03*"])


def test_a_record_of_a_check_that_is_not_installed_says_so(audited, tmp_path, monkeypatch):
    path = tmp_path / "record.json"
    audited.write(path)
    monkeypatch.undo()
    forget()
    with pytest.raises(RecordError, match=r"unknown check 'small' \(known: gap, .*\); install"):
        AuditRecord.read(path)


def test_an_entry_point_that_offers_something_else_is_refused(monkeypatch):
    offer(monkeypatch, TOY, name="other")
    with pytest.raises(RecordError, match=r"'other' of pm_audit\.checks names a rule of another"):
        rules()
    offer(monkeypatch, "no rule")
    with pytest.raises(RecordError, match="is a str, expected CheckRule"):
        rules()


def refuse_to_import(_):
    raise ImportError("no module")


def test_a_check_that_cannot_be_imported_is_one_error(monkeypatch):
    offer(monkeypatch, TOY)
    monkeypatch.setattr(EntryPoint, "load", refuse_to_import)
    with pytest.raises(RecordError, match=r"'small' of pm_audit.checks.*ImportError: no module"):
        rules()


@pytest.mark.parametrize("name", ["my check", "<b>\n::error::x", "", "GAP", "gap"])
def test_names_that_are_unsafe_or_taken_are_refused(monkeypatch, name):
    offer(monkeypatch, replace(TOY, name=name), name)
    with pytest.raises(RecordError, match=r"of pm_audit.checks: a"):
        Check.known()


@pytest.mark.parametrize(
    "ruling",
    [None, float("nan"), (True, "a"), (Outcome.PASS, None), (Outcome.PASS, "\ud800"), ("ok", "a")],
)
def test_a_check_without_an_outcome_and_reason_is_one_error(
    judged_record_path, monkeypatch, ruling
):
    offer(monkeypatch, replace(TOY, judge=lambda _: ruling))
    with pytest.raises(RecordError, match=r"check 'small' of pm_audit.checks failed"):
        audit_again(AuditRecord.read(judged_record_path))


def test_a_check_that_raises_is_one_error(judged_record_path, monkeypatch):
    offer(monkeypatch, replace(TOY, judge=lambda _: 1 / 0))
    with pytest.raises(RecordError, match="ZeroDivisionError: division by zero"):
        audit_again(AuditRecord.read(judged_record_path))


def test_a_policy_for_an_unknown_key_is_refused(monkeypatch):
    offer(monkeypatch, replace(TOY, policy={"nope": operator.lt}))
    with pytest.raises(RecordError, match="policy for 'nope'"):
        rules()
