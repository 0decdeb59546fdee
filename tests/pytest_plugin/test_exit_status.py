"""What a record means to the run: the exit status is drawn from it alone."""

from __future__ import annotations

import datetime
from itertools import product

import pytest

from pm_audit.pytest_plugin.exit_status import (
    Policy,
    Stance,
    excused,
    exit_status,
    reasons_to_fail,
    stance,
)
from pm_audit.records import AuditRecord, Check, Outcome
from pm_audit.report.changes import Change, ChangeKind, Comparison

TODAY = datetime.date(2027, 1, 31)


@pytest.fixture(scope="module")
def stored(stored_record_path) -> AuditRecord:
    return AuditRecord.read(stored_record_path)


def judged(stored, *outcomes: Outcome, **update) -> AuditRecord:
    """Return a record of one hypothesis whose first checks have these outcomes, the rest PASS."""
    told = dict(zip(Check, outcomes, strict=False))
    first = stored.hypotheses[0]
    checks = tuple(
        result.model_copy(update={"outcome": told.get(result.check, Outcome.PASS)})
        for result in first.checks
    )
    one = first.model_copy(update={"checks": checks, "known_bias": None, **update})
    return stored.model_copy(update={"hypotheses": (one,), "complete": True})


def fails(record, comparison=None, **policy) -> bool:
    return bool(reasons_to_fail(record, comparison, Policy(**policy), today=TODAY))


def test_every_outcome_has_one_meaning():
    named = {
        (Outcome.PASS, False, False, False): Stance.PASSED,
        (Outcome.PASS, False, True, False): Stance.BIAS_GONE,
        (Outcome.FAIL, False, False, False): Stance.FAILED,
        (Outcome.FAIL, False, False, True): Stance.FAILED,
        (Outcome.FAIL, False, True, False): Stance.EXCUSED,
        (Outcome.FAIL, True, False, False): Stance.WARNED,
        (Outcome.INCONCLUSIVE, False, False, False): Stance.FAILED,
        (Outcome.INCONCLUSIVE, False, False, True): Stance.PASSED,
        (Outcome.INCONCLUSIVE, False, True, True): Stance.EXCUSED,
        (Outcome.INVALID, False, True, True): Stance.UNJUDGEABLE,
        (Outcome.INVALID, True, False, False): Stance.WARNED,
        (Outcome.SKIPPED, False, True, False): Stance.SKIPPED,
    }
    for (outcome, warns, bias, lenient), expected in named.items():
        found = stance(outcome, warns=warns, excused=bias, inconclusive_passes=lenient)
        assert found is expected, (outcome, warns, bias, lenient)


def test_no_flag_passes_a_refuted_or_invalid_check(stored):
    for outcome, check, lenient, partial in product(
        (Outcome.FAIL, Outcome.INVALID), range(4), (False, True), (False, True)
    ):
        record = judged(stored, *[Outcome.PASS] * check, outcome)
        assert fails(record, inconclusive_passes=lenient, partial_passes=partial)
    assert not fails(judged(stored))
    assert not fails(judged(stored, Outcome.FAIL, severity="warn"))


def test_a_known_bias_is_in_force_until_its_last_day(stored):
    for expires, fine in (("2027-01-31", True), ("2027-01-30", False)):
        bias = {"reason": "known", "ticket": "PM-1", "expires": expires}
        record = judged(stored, Outcome.FAIL, known_bias=bias)
        assert excused(record.hypotheses[0], Check.GAP, today=TODAY) is fine
        assert fails(record) is not fine
        assert fails(judged(stored, known_bias=bias)) is fine, "a bias that is gone is an error"
        assert fails(judged(stored, Outcome.PASS, Outcome.FAIL, known_bias=bias))


def test_a_partial_record_passes_only_on_request(stored):
    partial = judged(stored).model_copy(update={"complete": False})
    assert fails(partial)
    assert not fails(partial, partial_passes=True)
    assert fails(None)
    assert fails(None, partial_passes=True), "nothing judged is no pass"


def test_a_regression_fails_what_would_pass(stored):
    grown = Change(kind=ChangeKind.GAP_GROWN, hypothesis="a", file="a.yaml", line=1, message="more")
    comparison = Comparison(old="a", new="b", changes=(grown,), compared=1)
    assert fails(judged(stored), comparison)
    assert not fails(judged(stored), comparison.model_copy(update={"changes": ()}))


def test_what_pytest_reports_is_never_raised():
    for reported in (0, 5):
        assert exit_status(reported, ("refuted",)) == 1
        assert exit_status(reported, ()) == reported
    for reported in (1, 2, 3, 4, 7):
        assert exit_status(reported, ("refuted",)) == exit_status(reported, ()) == reported
