"""Under ``gate: regressions`` what the baseline missed is known, and all else still fails."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pm_audit.records import Check, Outcome, Role
from pm_audit.release import compare, known_checks
from pm_audit.report.changes import ChangeKind, verdict
from pm_audit.spec import GateMode, today

BY_ROW = ("stages", "alongside", "transfer", "baselines")
"""What holds a number for each row, beside the rows."""


def hold(old, new, **options):
    return compare(old, new, gate=GateMode.REGRESSIONS, **options)


def regressions(comparison) -> list[tuple[str, ChangeKind]]:
    return [(c.hypothesis, c.kind) for c in comparison.changes if c.regression]


def with_outcomes(record, edited, name, **outcomes):
    (one,) = (one for one in record.hypotheses if one.name == name)
    checks = tuple(
        result.model_copy(update={"outcome": outcomes.get(result.check.value, result.outcome)})
        for result in one.checks
    )
    return edited(record, name, checks=checks)


def bias(days: int = 30, *, ticket: str = "PM-9", checks=("gap",)):
    expires = (today() + timedelta(days=days)).isoformat()
    return {"reason": "known", "ticket": ticket, "expires": expires, "checks": list(checks)}


def test_the_same_pm_twice_passes_although_it_misses_what_is_expected(judged):
    missed = {
        (one.name, result.check)
        for one in judged.hypotheses
        for result in one.checks
        if result.outcome in (Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.INVALID)
    }
    comparison = hold(judged, judged)
    assert not comparison.regressed
    assert comparison.known == missed - {("youre-right", Check.GAP)}, "a known bias accepts that"
    assert len(comparison.known) == 5
    assert verdict(comparison) == (
        "no regression in 5 hypotheses against the baseline; 5 checks are not passed, as before"
    )


@pytest.mark.parametrize("was", Outcome)
@pytest.mark.parametrize("now", Outcome)
def test_each_step_from_one_outcome_to_another(judged, edited, was, now):
    old = with_outcomes(judged, edited, "urls", fit=was)
    new = with_outcomes(judged, edited, "urls", fit=now)
    fine = {Outcome.PASS, Outcome.SKIPPED}
    if was is Outcome.FAIL:
        fine |= {Outcome.FAIL, Outcome.INCONCLUSIVE}
    elif was in (Outcome.INCONCLUSIVE, Outcome.INVALID):
        fine |= {was}
    comparison = hold(old, new)
    assert comparison.regressed is (now not in fine)
    assert ((("urls", Check.FIT)) in comparison.known) is (now in fine - {"pass", "skipped"})


def test_a_hypothesis_without_a_baseline_is_held_to_what_it_expects(judged):
    def without(name):
        return judged.model_copy(
            update={
                "hypotheses": tuple(one for one in judged.hypotheses if one.name != name),
                "manifest": tuple(one for one in judged.manifest if one.name != name),
            }
        )

    passing = hold(without("i-dont-know"), judged)
    assert not passing.regressed
    assert passing.changes[0].kind is ChangeKind.NO_BASELINE
    failing = hold(without("urls"), judged)
    assert regressions(failing) == [("urls", ChangeKind.CHECK_NOT_PASSED)]
    doubtful = without("answers-the-question")
    assert hold(doubtful, judged).regressed
    assert not hold(doubtful, judged, inconclusive_passes=True).regressed
    assert not hold(without("length"), judged).regressed, "of severity warn"
    assert not hold(without("youre-right"), judged).regressed, "accepted by a known bias"


def test_a_failure_on_other_texts_is_not_known(judged, edited):
    (urls,) = (one for one in judged.hypotheses if one.name == "urls")
    first = urls.evidence.rows[0]
    other = first.model_copy(update={"text": " See the net."})
    rows = (other, *urls.evidence.rows[1:])
    new = edited(judged, "urls", evidence=urls.evidence.model_copy(update={"rows": rows}))
    comparison = hold(judged, new)
    assert regressions(comparison) == [("urls", ChangeKind.CHECK_NOT_PASSED)]
    assert "the texts are not the baseline's" in comparison.changes[-1].message or any(
        "the texts are not the baseline's, which excuses nothing" in change.message
        for change in comparison.changes
    )
    more = first.model_copy(update={"text": " See the net.", "variant": 3})
    update = dict.fromkeys(BY_ROW, ()) | {"rows": (*urls.evidence.rows, more)}
    added = edited(judged, "urls", evidence=urls.evidence.model_copy(update=update))
    assert not hold(judged, added).regressed, "more may be tried"


def test_prompts_that_were_added_leave_the_others_paired(judged, edited):
    (urls,) = (one for one in judged.hypotheses if one.name == "urls")
    evidence = urls.evidence
    count = len(evidence.prompts)
    rows = (
        *(row.model_copy(update={"prompt": count}) for row in evidence.rows if row.prompt == 0),
        *evidence.rows,
    )
    shifted = tuple(
        row.model_copy(update={"reward": row.reward - 0.5}) if row.role is Role.EXAMPLE else row
        for row in rows
    )
    update = dict.fromkeys(BY_ROW, ()) | {
        "prompts": (*evidence.prompts, "What else?"),
        "folds": (
            evidence.folds[0].model_copy(update={"held_out": (*evidence.folds[0].held_out, count)}),
            *evidence.folds[1:],
        ),
        "placebos": (),
        "null": tuple(
            null.model_copy(update={"gap": (*null.gap, null.gap[0])}) for null in evidence.null
        ),
    }
    same = edited(judged, "urls", evidence=evidence.model_copy(update=update | {"rows": rows}))
    assert hold(judged, same).changes == hold(judged, judged).changes
    figure = urls.gap_sigma.model_copy(
        update={"value": urls.gap_sigma.value - 0.5 / evidence.sigma}
    )
    grown = edited(
        judged,
        "urls",
        gap_sigma=figure,
        evidence=evidence.model_copy(update=update | {"rows": shifted}),
    )
    (change,) = (c for c in hold(judged, grown).changes if c.regression)
    assert change.kind is ChangeKind.GAP_GROWN
    assert "paired by prompt" in change.message


def test_what_failed_and_became_worse_fails(judged, edited):
    (urls,) = (one for one in judged.hypotheses if one.name == "urls")
    closure = urls.closure.model_copy(update={"value": 0.05, "low": 0.01, "high": 0.09})
    assert regressions(hold(judged, edited(judged, "urls", closure=closure))) == [
        ("urls", ChangeKind.CLOSURE_LOST)
    ]
    base = with_outcomes(judged, edited, "urls", specific=Outcome.FAIL, fit=Outcome.FAIL)
    collateral = urls.collateral.model_copy(update={"value": 0.9, "low": 0.8, "high": 1.0})
    assert regressions(hold(base, edited(base, "urls", collateral=collateral))) == [
        ("urls", ChangeKind.COLLATERAL_GROWN)
    ]
    fits = tuple(fit.model_copy(update={"fvu": fit.fvu + 0.1}) for fit in urls.evidence.fits)
    evidence = urls.evidence.model_copy(update={"fits": fits})
    found = regressions(hold(base, edited(base, "urls", evidence=evidence)))
    assert set(found) == {("urls", ChangeKind.FIT_WORSE)}
    # inside the limits that the hypothesis sets, both are what it allows
    assert not hold(judged, edited(judged, "urls", evidence=evidence)).regressed
    assert not hold(judged, edited(judged, "urls", collateral=collateral)).regressed


@pytest.mark.parametrize("expired_in", ["baseline", "run"])
def test_what_a_bias_accepted_until_yesterday_is_not_known(judged, edited, expired_in):
    old = edited(judged, "youre-right", known_bias=bias(-1 if expired_in == "baseline" else 30))
    new = edited(judged, "youre-right", known_bias=None)
    if expired_in == "run":
        new = edited(judged, "youre-right", known_bias=bias(-1))
    comparison = hold(old, new)
    assert regressions(comparison) == [("youre-right", ChangeKind.CHECK_NOT_PASSED)]
    assert any("known bias PM-9 expired on" in change.message for change in comparison.changes)


def test_known_checks_are_those_of_the_comparison(judged):
    (urls,) = (one for one in judged.hypotheses if one.name == "urls")
    assert known_checks(urls, urls) == {Check.EXPLAINED}


class TestAKnownBiasAddedAfterTheBaseline:
    def worse(self, judged, edited, **known_bias):
        new = with_outcomes(judged, edited, "i-dont-know", explained=Outcome.FAIL)
        return edited(new, "i-dont-know", known_bias=bias(**known_bias))

    def test_a_new_ticket_accepts_what_it_covers_and_is_named(self, judged, edited):
        comparison = hold(judged, self.worse(judged, edited, checks=("explained",)))
        assert not comparison.regressed
        added, worse = comparison.changes[:2]
        assert added.kind is ChangeKind.KNOWN_BIAS_ADDED
        assert "ticket PM-9, new since the baseline" in added.message
        assert worse.kind is ChangeKind.CHECK_WORSE
        assert worse.message.endswith("(accepted by the known bias that is new)")

    def test_it_accepts_nothing_else(self, judged, edited):
        comparison = hold(judged, self.worse(judged, edited, checks=("gap",)))
        assert regressions(comparison) == [("i-dont-know", ChangeKind.CHECK_WORSE)]
        invalid = with_outcomes(judged, edited, "i-dont-know", explained=Outcome.INVALID)
        invalid = edited(invalid, "i-dont-know", known_bias=bias(checks=("explained",)))
        assert hold(judged, invalid).regressed
        expired = self.worse(judged, edited, days=-1, checks=("explained",))
        assert hold(judged, expired).regressed

    @pytest.mark.parametrize("gate", GateMode)
    @pytest.mark.parametrize("ticket", ["PM-12", "pm-12", " PM-12 ", "PM - 12", "ＰＭ-12"])  # noqa: RUF001
    def test_a_ticket_that_the_baseline_knows_is_a_loosened_policy(
        self, judged, edited, gate, ticket
    ):
        again = self.worse(judged, edited, ticket=ticket, checks=("explained",))
        found = regressions(compare(judged, again, gate=gate))
        assert ("i-dont-know", ChangeKind.POLICY_LOOSENED) in found
        assert ("i-dont-know", ChangeKind.CHECK_WORSE) in found

    @pytest.mark.parametrize(
        ("update", "loosened"),
        [
            ({"days": 60}, True),
            ({"checks": ("gap", "fit")}, True),
            ({"days": 10}, False),
            ({}, False),
            ({"days": 60, "ticket": "PM-77"}, False),
            ({"ticket": "PM-77"}, False),
        ],
        ids=str,
    )
    def test_one_that_the_baseline_has(self, judged, edited, update, loosened):
        old = edited(judged, "youre-right", known_bias=bias())
        new = edited(judged, "youre-right", known_bias=bias(**update))
        comparison = hold(old, new)
        assert comparison.regressed is loosened
        named = [c.kind for c in comparison.changes if c.kind is ChangeKind.KNOWN_BIAS_ADDED]
        assert bool(named) is ("ticket" in update)
