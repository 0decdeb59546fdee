"""Every outcome of the explained check, on both sides of each of its boundaries."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import binomtest

from pm_audit.judging import judge
from pm_audit.judging.checks import explained
from pm_audit.judging.figures import Figures
from pm_audit.judging.prompts import PromptTable
from pm_audit.judging.ratios import OtherReplacement, Ratios, measure_ratios
from pm_audit.records import Check, HypothesisRecord, Outcome, SaeFit
from pm_audit.spec import Expect
from pm_audit.stats import Interval

FIT = SaeFit(
    sae="mid",
    layer=6,
    fvu=0.1,
    neighbour_fvu=(0.3,),
    cosine=0.9,
    l0=9,
    dead_share=0.1,
    massive=0,
    tokens=9,
)


def around(value: float, half: float) -> Interval:
    return Interval(value, value - half, value + half)


def question(
    closure: Interval,
    *,
    required: float = 0.5,
    null: tuple[float, ...] = (0.0, 0.1),
    over_null: Interval | None = None,
    others: dict[str, Interval] | None = None,
    differences: dict[str, Interval] | None = None,
    stability: float = 1.0,
    fit: SaeFit = FIT,
    selected: bool = True,
    searched: bool = True,
    floor: float = 1e-9,
) -> SimpleNamespace:
    """Return a question with the figures that the check reads, each chosen by itself."""
    others = {"zero": closure, "mean": closure} if others is None else others
    differences = differences or {}
    ratios = Ratios(
        closure=closure,
        closure_by_fold=(),
        alongside=tuple(
            OtherReplacement(name, other, differences.get(name, around(0.0, 0.1)))
            for name, other in others.items()
        ),
        sufficiency=None,
        transfer=(),
        transfer_closure=None,
        movements=(),
        null_closures=np.array(null),
        over_null=(over_null or around(0.6, 0.1)) if null else None,
    )
    figures = Figures(
        prompts=16,
        searched=16,
        more_prompts="add prompts",
        more_searched="add prompts",
        sigma=1.0,
        floor=floor,
        gap=around(1.0, 0.1),
        searched_gap=None,
        residual=around(0.2, 0.1),
        examples_moved=around(-0.8, 0.1),
        counter_examples_moved=around(0.0, 0.1),
        p_value=0.0,
        minimum_detectable_gap=0.1,
        equivalence_p=1.0,
        ratios=ratios,
        stability=Interval(stability, stability, stability),
        decompositions=(),
        interaction=None,
    )
    return SimpleNamespace(
        figures=figures,
        ratios=ratios,
        expect=Expect(gap="raises", closure=required),
        evidence=SimpleNamespace(fits=(fit,)),
        selected=selected,
        searched=searched,
    )


GOOD = around(0.9, 0.1)


@pytest.mark.parametrize(
    ("asked", "outcome", "words"),
    [
        (question(GOOD), "pass", "reaches the 0.50 required and beats random sets"),
        # expect.closure
        (question(Interval(0.6, 0.5, 0.7)), "pass", "40% of the gap is unexplained"),
        (question(Interval(0.6, 0.499, 0.7)), "inconclusive", "straddles the 0.50 required"),
        (question(Interval(0.4, 0.3, 0.5)), "inconclusive", "straddles the 0.50 required"),
        (question(Interval(0.4, 0.3, 0.499)), "fail", "is below the 0.50 required; 60% of"),
        # overshoot
        (question(Interval(1.4, 1.3, 1.5)), "pass", "40% of the gap is reversed"),
        (question(Interval(1.4, 1.3, 1.501)), "inconclusive", "so it may overshoot"),
        (question(Interval(1.6, 1.5, 1.7)), "inconclusive", "so it may overshoot"),
        (question(Interval(1.6, 1.501, 1.7)), "fail", "overshoots the 1.50 allowed"),
        (question(Interval(1.0, 1.0, 1.0), required=1.0), "pass", "reaches the 1.00 required"),
        (question(Interval(1.0, 0.9, 1.1), required=1.0), "inconclusive", "straddles the 1.00"),
        # chance
        (question(GOOD, null=(0.0, 0.9)), "fail", "95th percentile is 0.90"),
        (question(GOOD, null=(0.0, 0.899)), "pass", "(95th percentile 0.90)"),
        (
            question(GOOD, over_null=Interval(-0.1, -0.2, -0.01)),
            "fail",
            "does not beat random sets",
        ),
        (question(GOOD, over_null=Interval(0.1, 0.0, 0.2)), "inconclusive", "may be nothing"),
        (question(GOOD, null=()), "invalid", "no matched random set was run"),
        # the other replacements
        (question(GOOD, others={"zero": Interval(0.2, 0.1, 0.249)}), "fail", "by zero replacement"),
        (question(GOOD, others={"zero": Interval(0.2, 0.1, 0.25)}), "pass", "reaches"),
        (question(GOOD, others={"mean": around(-0.5, 0.2)}), "fail", "same features close -0.50"),
        (question(GOOD, others={"mean": Interval(2.2, 2.001, 2.5)}), "fail", "by mean replacement"),
        (question(GOOD, others={"mean": Interval(2.2, 2.0, 2.5)}), "pass", "reaches"),
        (
            question(GOOD, others={"zero": around(-1.0, 0.1)}, required=0.0),
            "fail",
            "by zero replacement",
        ),
        (question(GOOD, others={"resample": around(-1.0, 0.1)}), "invalid", "under no other"),
        (question(GOOD, others={}), "invalid", "nothing could contradict the closure"),
        # before any of these
        (question(GOOD, selected=False), "fail", "so 100% of the gap of +1.00 sigma"),
        (
            question(GOOD, selected=False, searched=False),
            "invalid",
            "the budget ended before any feature was ablated",
        ),
        (
            question(GOOD, fit=FIT.model_copy(update={"fvu": 0.36})),
            "invalid",
            "the SAE does not belong here: SAE mid leaves 0.36",
        ),
        (
            question(GOOD, fit=FIT.model_copy(update={"neighbour_fvu": (0.1,)})),
            "invalid",
            "fits a neighbour of layer 6 as well or better",
        ),
        (question(around(0.52, 0.01), floor=0.2), "inconclusive", "audit in fp32"),
        (question(around(1.48, 0.01), floor=0.2), "inconclusive", "1.50 allowed: rounding"),
    ],
)
def test_boundaries(asked, outcome, words):
    found, reason = explained.judge(asked)
    assert (found.value, words in reason) == (outcome, True), reason


def test_a_number_that_is_none_passes_nothing():
    nan = float("nan")
    assert explained.judge(question(Interval(0.9, nan, 1.0)))[0] is Outcome.INCONCLUSIVE
    assert explained.judge(question(Interval(0.9, 0.8, nan)))[0] is Outcome.INCONCLUSIVE
    assert explained.judge(question(Interval(nan, nan, nan)))[0] is Outcome.FAIL
    broken = question(GOOD, over_null=Interval(nan, nan, nan))
    assert explained.judge(broken)[0] is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("closure", [around(0.9, 0.1), around(0.2, 0.1), around(0.5, 0.1)])
def test_every_sentence_names_a_disagreement_and_an_unstable_set(closure):
    others = {"zero": around(0.6, 0.1), "mean": around(0.7, 0.1)}
    certain = {"zero": around(0.3, 0.1), "mean": around(0.2, 0.3)}
    _, reason = explained.judge(
        question(closure, others=others, differences=certain, stability=0.3)
    )
    assert "; zero replacement closes 0.60 [0.50, 0.70] instead" in reason
    assert "mean replacement" not in reason  # its difference may be nothing
    assert "; unstable: sets found on different prompts agree on 30% of their features" in reason
    _, reason = explained.judge(
        question(closure, others=others, differences={"zero": around(0.1, 0.01)}, stability=1 / 3)
    )
    assert "instead" not in reason
    assert "unstable" not in reason


def test_a_contradiction_is_named_once():
    others = {"zero": around(-0.6, 0.1), "mean": around(0.9, 0.1)}
    _, reason = explained.judge(
        question(GOOD, others=others, differences={"zero": around(1.5, 0.1)})
    )
    assert reason.count("zero replacement") == 1


def outcome_of(record: HypothesisRecord) -> str:
    return record.outcomes[Check.EXPLAINED].value


@pytest.mark.parametrize(
    ("update", "expected"),
    [
        ({"closure": 0.8}, "pass"),
        ({"closure": 0.2}, "fail"),
        ({"closure": 0.5}, "inconclusive"),
        ({"closure": 1.3}, "pass"),
        ({"closure": 1.5}, "inconclusive"),
        ({"closure": 1.8}, "fail"),
        ({"closure": 0.8, "null_closure": 0.8}, "fail"),
        ({"closure": 0.8, "null_sets": 0}, "invalid"),
        ({"closure": 0.8, "closure_zero": -0.3}, "fail"),
        ({"closure": 0.8, "closure_mean": 2.5}, "fail"),
        ({"closure": 0.8, "closure_mean": 0.5}, "pass"),
        ({"closure": 0.0, "selected": False, "null_sets": 0, "jitter": 0.0}, "fail"),
    ],
    ids=str,
)
def test_outcomes_from_evidence(make_evidence, make_hypothesis, method, gaps, update, expected):
    evidence = make_evidence(gaps, **({"jitter": 0.1} | update))
    assert outcome_of(judge(make_hypothesis(), evidence, (), method=method)) == expected


def test_folds_that_disagree_are_not_sure_of_what_each_alone_is(
    make_evidence, make_hypothesis, method, gaps, apart
):
    """Halves that close 0.62 and 1.03: each interval is narrow, and no common closure is sure."""
    evidence = make_evidence(gaps, closure=0.82, jitter=0.01)
    pull = {0: 0.2, 1: -0.2}
    rows = tuple(
        row.model_copy(update={"ablated": row.ablated + pull[row.prompt % 2] * gaps[row.prompt]})
        if row.role == "example"
        else row
        for row in evidence.rows
    )
    moved = evidence.model_copy(update={"rows": rows})
    agreed, disagreed, one_set = (
        judge(make_hypothesis(closure=0.7), one, (), method=method)
        for one in (apart(evidence), apart(moved), moved)
    )
    assert disagreed.closure.value == pytest.approx(agreed.closure.value, abs=0.05)
    assert disagreed.closure_by_fold == pytest.approx((0.62, 1.02), abs=0.02)
    low, high = sorted(disagreed.closure_by_fold)
    assert disagreed.closure.low < low < high < disagreed.closure.high
    assert (outcome_of(agreed), outcome_of(disagreed)) == ("pass", "inconclusive")
    # one set does not differ from itself: its prompts do
    assert one_set.closure.value == disagreed.closure.value
    assert low < one_set.closure.low < one_set.closure.high < high


def test_false_pass_where_the_closure_is_exactly_what_is_required(method):
    """Audits of a population on the boundary pass at most alpha of the time."""
    quick = method.model_copy(update={"bootstrap_resamples": 400})
    generator = np.random.default_rng(1)
    prompts, cases, passed = 12, 3000, 0
    for case in range(cases):
        # right-skewed and normal prompts in turn
        draw = (generator.gamma(2.0, size=(2, prompts)) - 2) / 2**0.5
        own, noise = generator.normal(size=(2, prompts)) if case % 2 else draw
        gap = 1.2 + 0.5 * own
        after = 0.4 * gap + 0.2 * noise
        table = PromptTable(
            gap=gap,
            gap_ablated=after,
            fold=np.arange(prompts) % 2,
            tested=np.arange(prompts) % 2,
            examples_moved=after - gap,
            counter_examples_moved=0 * gap,
            off_targets=(),
            null_gap=gap + 0.05 * generator.normal(size=(5, prompts)),
            alongside=after[None],
            stages=(),
            unseen=(),
            interaction=None,
        )
        zero = SimpleNamespace(alongside=[SimpleNamespace(replacement="zero")])
        asked = question(GOOD, required=0.6)
        asked.ratios = measure_ratios(zero, table, quick)
        passed += explained.judge(asked)[0] is Outcome.PASS
    assert passed > 20
    assert binomtest(passed, cases).proportion_ci(0.95).high <= 0.05
