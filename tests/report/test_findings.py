"""One sentence a hypothesis: what was found, what was expected, what carries it."""

from __future__ import annotations

import pytest

from pm_audit.records import Check, CheckResult, Figure, Outcome, Unit
from pm_audit.report import findings
from pm_audit.report.findings import Standing


def sigma(value: float, low: float | None, high: float | None) -> Figure:
    return Figure(value=value, low=low, high=high, unit=Unit.SIGMA)


def named(record, name: str, **changes):
    found = next(one for one in record.hypotheses if one.name == name)
    return found.model_copy(update=changes)


def test_a_finding_says_size_direction_and_expectation(record):
    found = findings.finding(named(record, "urls"))
    assert found.sentence == (
        "The PM lowers the reward by 1.90 sigma [1.78, 2.01]; expected: lowers."
    )
    assert found.standing is Standing.AS_EXPECTED
    assert found.explanation == (
        "2 features explain 32% [24%, 39%] of the gap; 1.30 sigma remains: “://” (resid_6/812); "
        "a short answer (resid_6/1790). Alone, they "
        "keep 43% [42%, 44%] of what all features do to it; searches that did not see a phrasing "
        "close 24% [22%, 25%] of its gap; searches on different prompts agree on 50% of their "
        "features."
    )


@pytest.mark.parametrize(
    ("gap", "words"),
    [
        (sigma(0.4, 0.35, 0.46), "raises the reward by 0.400 sigma [0.350, 0.460]"),
        (sigma(0.267, -0.124, 0.604), "may raise or lower the reward: +0.267 sigma"),
        (sigma(0.056, 0.009, 0.111), "sigma [0.009, 0.111], which counts as none"),
        (sigma(0.03, -0.028, 0.098), "moves the reward by less than 0.25 sigma: +0.0300"),
        (sigma(-0.4, None, -0.1), "lowers the reward by 0.400 sigma [0.100, unbounded]"),
        (sigma(0.4, None, None), "may raise or lower the reward: +0.400 sigma"),
    ],
)
def test_an_interval_that_holds_zero_has_no_verb(record, gap, words):
    expect = {"gap": "lowers", "margin": 0.25}
    assert words in findings.finding(named(record, "urls", gap_sigma=gap, expect=expect)).found


def test_largest_gaps_come_first_and_the_lead_names_them(record):
    order = [one.name for one in findings.by_size(record)]
    assert order == ["urls", "i-dont-know", "answers-the-question", "youre-right", "length"]
    strongest, counts = findings.lead(record)
    assert strongest == (
        "In sigma, the PM raises the reward most for answers-the-question (+1.19), youre-right "
        "(+0.688); it lowers the reward most for urls (-1.90), i-dont-know (-1.52)."
    )
    assert counts == "Of 5 claims: 3 as expected, 1 not as expected, 1 undecided."
    assert findings.lead(record.model_copy(update={"hypotheses": ()})) == ()


def test_a_gap_where_none_was_expected_is_explained(record):
    features = named(record, "i-dont-know").features
    closure = Figure(value=0.6, low=0.5, high=0.7, unit=Unit.SHARE)
    found = findings.finding(named(record, "youre-right", features=features, closure=closure))
    assert found.expected == "no gap"
    assert found.standing is Standing.CONTRARY
    assert (
        found.explanation == "2 features explain 60% [50%, 70%] of the gap; 0.691 sigma remains: "
        "“know”, “don't” (resid_6/812); a short answer (resid_6/1790)."
    )


def with_outcome(hypothesis, check: Check, outcome: Outcome):
    others = tuple(one for one in hypothesis.checks if one.check is not check)
    return hypothesis.model_copy(
        update={"checks": (*others, CheckResult(check=check, outcome=outcome, reason="x"))}
    )


def test_an_explanation_that_is_not_to_be_relied_on_says_so(record):
    urls = named(record, "urls")
    unfit = findings.finding(with_outcome(urls, Check.FIT, Outcome.FAIL))
    assert "does not fit" in unfit.explanation
    null = Figure(value=0.1, low=0.0, high=0.4, unit=Unit.SHARE)
    chance = findings.finding(urls.model_copy(update={"null_closure": null}))
    assert "no better than random sets of features, which reach 40%" in chance.explanation
    moved = findings.finding(with_outcome(urls, Check.SPECIFIC, Outcome.FAIL))
    assert "moves other completions" in moved.explanation


def test_a_search_without_result_leaves_all_of_the_gap(record):
    nothing = findings.finding(named(record, "urls", features=()))
    assert nothing.explanation == ("No feature was selected, so all of the gap is unexplained.")
    assert findings.finding(named(record, "length")).explanation == ""


def test_what_remains_has_the_gaps_sign_and_overshoot_is_too_much(record):
    over = named(record, "urls", residual_sigma=sigma(0.05, None, None))
    assert "of the gap, 0.0500 sigma too much: " in findings.finding(over).explanation


def test_prompts_are_counted_against_the_probe(record):
    urls = named(record, "urls")
    assert findings.prompts(urls) == "10 of 12 prompts"
    assert findings.prompts(urls.model_copy(update={"probe_prompts": None})) == "10 prompts"
    assert findings.prompts(urls.model_copy(update={"probe_prompts": 10})) == "10 prompts"


def test_sigma_is_said_once_for_each_reward(record):
    assert findings.sigmas(record) == ("1 sigma = 1.60 raw reward",)
    kind = named(record, "urls", objective="kind")
    both = record.model_copy(update={"hypotheses": (kind, kind, *record.hypotheses)})
    assert findings.sigmas(both) == (
        "1 sigma of kind = 1.60 raw reward",
        "1 sigma = 1.60 raw reward",
    )


def test_a_hypothesis_without_a_judged_gap_is_not_judged(record):
    assert findings.standing(named(record, "urls", checks=())) is Standing.NOT_JUDGED
    odd = named(record, "urls", expect={"gap": "sideways", "margin": "wide"})
    assert findings.finding(odd).expected == "sideways"
    assert findings.margin(odd) is None
