"""Checks that are not passed and do not fail a gate: the baseline had them, or a bias accepts them.

Under ``gate: regressions`` a run is compared with the baseline.  A check that the baseline had not
passed either is known from there if it is not worse, covers the same texts, and no known bias on
it has expired.  A check that could not be judged in the baseline does not excuse a refuted claim.
"""

from __future__ import annotations

from pm_audit.judging import read_known_bias
from pm_audit.records import NOT_PASSED, Check, HypothesisRecord, Outcome
from pm_audit.release.texts import dropped_texts
from pm_audit.spec import today

_EXCUSES = {
    Outcome.FAIL: {Outcome.FAIL, Outcome.INCONCLUSIVE},
    Outcome.INCONCLUSIVE: {Outcome.INCONCLUSIVE},
    Outcome.INVALID: {Outcome.INVALID},
}
"""By outcome in the baseline: the outcomes that are not worse."""


def known_checks(old: HypothesisRecord, new: HypothesisRecord) -> frozenset[Check]:
    """Return the checks of ``new`` that are not passed and known from the baseline ``old``."""
    not_passed = (result.check for result in new.checks if result.outcome in NOT_PASSED)
    return frozenset(check for check in not_passed if objection(old, new, check) is None)


def objection(old: HypothesisRecord, new: HypothesisRecord, check: Check) -> str | None:
    """Return why the baseline does not excuse a check that is not passed; None if it does."""
    was, now = ({result.check: result for result in one.checks}.get(check) for one in (old, new))
    if was is None or now is None:
        return "the baseline did not judge it"
    if now.outcome not in _EXCUSES.get(was.outcome, ()):
        if was.outcome is Outcome.INVALID:
            return "the baseline could not judge it"
        return f"it was {was.outcome} in the baseline"
    if dropped_texts(old.evidence, new.evidence):
        return "the texts are not the baseline's"
    for one in (old, new):
        bias = read_known_bias(one)
        if bias is not None and bias.covers(check) and bias.expired(today()):
            return f"known bias {bias.ticket} expired on {bias.expires}"
    return None
