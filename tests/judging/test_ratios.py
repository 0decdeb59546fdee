"""Sufficiency, transfer, other replacements and folds, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap

from pm_audit.judging import judge, rejudge
from pm_audit.records import Role, StageEvidence
from pm_audit.stats import PromptBootstrap, widening


def staged(evidence, **left: float):
    """Return evidence in which these shares of each prompt's gap are left after each stage."""
    counters = evidence.means(Role.COUNTER_EXAMPLE, [row.reward for row in evidence.rows])

    def rewards(share: float) -> tuple[float, ...]:
        return tuple(
            counters[row.prompt] + share * (row.reward - counters[row.prompt])
            if row.role is Role.EXAMPLE
            else row.reward
            for row in evidence.rows
        )

    stages = {"selected": 0.2, "others": 0.7, "features": 0.1, "stream": 0.0, "error": 0.9} | left
    whole = StageEvidence(
        sae=None, layer=None, **{name: rewards(share) for name, share in stages.items()}
    )
    return evidence.model_copy(update={"stages": (whole,)})


def judged(evidence, make_hypothesis, method):
    record = judge(make_hypothesis(), evidence, (), method=method)
    assert rejudge(record, method=method) == record
    return record


def test_sufficiency_is_the_share_of_what_all_features_do(
    make_evidence, make_hypothesis, method, gaps
):
    # all features: 1 to 0.1 of the gap; without the set's own part: 0.7 to 0.1
    record = judged(staged(make_evidence(gaps)), make_hypothesis, method)
    assert record.sufficiency.value == pytest.approx(0.6 / 0.9)
    assert record.sufficiency.low == pytest.approx(record.sufficiency.high)
    alone = judged(staged(make_evidence(gaps), others=1.0), make_hypothesis, method)
    assert alone.sufficiency.value == pytest.approx(1.0)


def test_there_is_no_sufficiency_where_all_features_may_do_nothing(
    make_evidence, make_hypothesis, method, gaps
):
    evidence = staged(make_evidence(gaps), features=1.0)
    shaken = [
        reward + (0.3 if row.prompt % 2 else -0.3) * (row.role is Role.EXAMPLE)
        for row, reward in zip(evidence.rows, evidence.stages[0].features, strict=True)
    ]
    stage = evidence.stages[0].model_copy(update={"features": tuple(shaken)})
    evidence = evidence.model_copy(update={"stages": (stage,)})
    assert judged(evidence, make_hypothesis, method).sufficiency is None
    assert judged(make_evidence(gaps), make_hypothesis, method).sufficiency is None


def test_each_other_replacement_has_its_own_closure(make_evidence, make_hypothesis, method, gaps):
    evidence = make_evidence(gaps, closure=0.9, closure_zero=0.5, closure_mean=0.7, jitter=0.01)
    record = judged(evidence, make_hypothesis, method)
    found = {one.replacement: one.closure.value for one in record.alongside}
    assert found == {"zero": pytest.approx(0.5, abs=0.02), "mean": pytest.approx(0.7, abs=0.02)}


def test_transfer_is_worked_by_phrasing_and_pooled_by_prompt(
    make_evidence, full, make_hypothesis, method
):
    # the gaps of the phrasings are 1.5 and 0.5; the prompts' rests are 0.3, 0.4 and 0.5 of them
    record = judged(full(make_evidence([1.0] * 12)), make_hypothesis, method)
    first, second = record.transfer
    assert (first.phrasing, second.phrasing) == (0, 1)
    for one in (first, second):
        assert one.closure.value == pytest.approx(0.6)
    assert record.transfer_closure.value == pytest.approx(0.6)
    assert first.closure.low < 0.6 < first.closure.high
    evidence = full(make_evidence([1.0] * 12))
    one, other = evidence.transfer
    closed = other.model_copy(update={"gap_after": (0.0,) * 12})
    record = judged(
        evidence.model_copy(update={"transfer": (one, closed)}), make_hypothesis, method
    )
    assert record.transfer[1].closure.value == pytest.approx(1.0)
    # pooled: rests of 0.3, 0.4 and 0.5 of 1.5, and none of 0.5, over a gap of 2
    assert record.transfer_closure.value == pytest.approx(1 - 0.4 * 1.5 / 2)


def test_a_phrasing_may_be_tested_on_some_prompts_and_by_several_searches(
    make_evidence, full, make_hypothesis, method, gaps
):
    evidence = full(make_evidence(gaps))
    one, other = evidence.transfer
    halves = tuple(
        one.model_copy(
            update={name: getattr(one, name)[start::2] for name in ("prompts", "gap", "gap_after")}
        )
        for start in (0, 1)
    )
    whole, split = (
        judged(evidence.model_copy(update={"transfer": transfer}), make_hypothesis, method)
        for transfer in ((one, other), (*halves, other))
    )
    assert split.transfer == whole.transfer
    assert split.transfer_closure == whole.transfer_closure
    some = judged(
        evidence.model_copy(update={"transfer": (halves[0], other)}), make_hypothesis, method
    )
    gap, after = np.sum(halves[0].gap), np.sum(halves[0].gap_after)
    assert some.transfer[0].closure.value == pytest.approx(1 - after / gap)


def test_a_phrasing_without_a_gap_has_nothing_to_transfer(
    make_evidence, full, make_hypothesis, method
):
    # the second phrasing's gaps are 0.5 lower than the whole's: they are about zero
    gaps = [0.5 + 0.1 * (-1) ** prompt for prompt in range(12)]
    record = judged(full(make_evidence(gaps)), make_hypothesis, method)
    assert record.transfer[0].closure is not None
    assert record.transfer[1].closure is None


def test_closure_by_fold_averages_to_the_closure_by_gap(
    make_evidence, make_hypothesis, method, gaps
):
    record = judged(make_evidence(gaps, jitter=0.2), make_hypothesis, method)
    weights = [sum(gaps[start::2]) for start in (0, 1)]
    assert np.average(record.closure_by_fold, weights=weights) == pytest.approx(
        record.closure.value
    )
    evidence = make_evidence([*([2.0, -0.01] * 8)])
    one_sided = judge(make_hypothesis(), evidence, (), method=method)
    assert one_sided.closure is not None
    assert one_sided.closure_by_fold == ()  # the second fold has no gap to close


def test_the_interval_is_scipys_widened_by_the_variation_between_folds(
    make_evidence, make_hypothesis, method, gaps, apart
):
    evidence = apart(make_evidence(gaps, jitter=0.2, seed=3))
    record = judge(make_hypothesis(), evidence, (), method=method)
    gap, after = (
        np.array(evidence.gaps([getattr(row, name) for row in evidence.rows]))
        for name in ("reward", "ablated")
    )
    value = 1 - after.mean() / gap.mean()
    factor = widening(((1 - value) * gap - after) / gap.mean(), np.arange(16) % 2)
    plain = bootstrap(
        (gap, after),
        lambda gap, after, axis=-1: 1 - after.mean(axis=axis) / gap.mean(axis=axis),
        paired=True,
        method="percentile",
        n_resamples=4000,
        rng=np.random.default_rng(0),
    ).confidence_interval
    assert record.closure.value == pytest.approx(value)
    half = record.closure.high - value
    assert 0.95 * factor * (plain.high - value) < half < 1.5 * factor * (plain.high - value)
    order = np.lexsort(np.round([after - gap, after, gap], 9))
    ours = PromptBootstrap(16, resamples=2000, confidence=0.95, seed=method.seed)
    narrow = ours.ratio(after[order], gap[order]).one_minus()
    assert half == pytest.approx(factor * (narrow.high - value), rel=0.02)
