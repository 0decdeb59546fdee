"""Greedy growth on sets whose joint effect is known."""

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pm_audit.interventions.growth import AT_ONCE, Growth, grow
from pm_audit.records import Feature


def feature(index: int) -> Feature:
    return Feature(sae="toy", layer=0, index=index)


def additive(gap: float, effects: dict[int, float]):
    def gap_after(sets: Sequence[tuple[Feature, ...]]) -> list[float]:
        return [gap - sum(effects[member.index] for member in chosen) for chosen in sets]

    return gap_after


def run(gap: float, effects: dict[int, float], **settings) -> Growth:
    order = sorted(effects, key=lambda index: -abs(effects[index]))
    settings = {"max_features": 10, "trials": 3, "least_gain": 0.01} | settings
    candidates = {feature(i): abs(effects[i]) for i in order}
    return grow(candidates, gap, additive(gap, effects), **settings)


def test_planted_features_are_found_and_close_the_gap():
    growth = run(-4.0, {1: -2.5, 2: -1.5, 3: 0.0, 4: 0.001})
    assert [member.index for member in growth.selected] == [1, 2]
    assert growth.closures == pytest.approx((0.625, 1.0))


def test_a_feature_without_gain_never_joins():
    assert run(2.0, {1: 0.0, 2: -1.0}).selected == ()


def test_redundant_features_join_once():
    def gap_after(sets):
        return [0.0 if chosen else 1.0 for chosen in sets]

    candidates = {feature(1): 1.0, feature(2): 1.0}
    growth = grow(candidates, 1.0, gap_after, max_features=5, trials=2, least_gain=0.1)
    assert len(growth.selected) == 1


def test_a_candidate_behind_useless_ones_is_still_tried():
    growth = run(1.0, {1: -0.9, 2: -0.8, 3: -0.7, 4: 0.6}, trials=2)
    assert [member.index for member in growth.selected] == [4]


def test_no_candidates_is_an_empty_set():
    assert grow({}, 1.0, additive(1.0, {}), max_features=3, trials=2, least_gain=0.1) == Growth(
        (), ()
    )


def test_a_gain_that_shrinks_beside_the_set_sends_a_candidate_back():
    # 2 carries what 1 carries; 3 is worth less alone than 2, and more beside 1
    worth = {(1,): 0.5, (2,): 0.45, (3,): 0.2, (1, 2): 0.52, (1, 3): 0.7, (1, 2, 3): 0.72}

    def gap_after(sets):
        return [1 - worth[tuple(sorted(member.index for member in chosen))] for chosen in sets]

    candidates = {feature(1): 0.5, feature(2): 0.45, feature(3): 0.2}
    growth = grow(candidates, 1.0, gap_after, max_features=2, trials=4, least_gain=0.01)
    assert [member.index for member in growth.selected] == [1, 3]


@given(
    st.dictionaries(st.integers(0, 30), st.integers(1, 100), min_size=1, max_size=12),
    st.integers(1, 6),
)
def test_where_effects_add_up_the_largest_join_and_few_are_tried(effects, most):
    gap, tried = float(sum(effects.values()) + 1), 0

    def gap_after(sets):
        nonlocal tried
        tried += len(sets)
        return additive(gap, effects)(sets)

    candidates = {feature(index): effect for index, effect in effects.items()}
    growth = grow(candidates, gap, gap_after, max_features=most, trials=4, least_gain=1e-9)
    ranked = sorted(effects.values(), reverse=True)
    assert [effects[one.index] for one in growth.selected] == pytest.approx(ranked[:most])
    assert tried <= AT_ONCE * len(growth.selected)


@given(
    st.dictionaries(st.integers(0, 30), st.floats(-3, 3), max_size=12),
    st.sampled_from([-5.0, 2.0, 7.5]),
    st.integers(1, 4),
)
def test_the_residual_never_grows_and_the_set_is_bounded(effects, gap, most):
    growth = run(gap, effects, max_features=most)
    residuals = [1.0, *(abs(1 - closure) for closure in growth.closures)]
    assert len(growth.selected) == len(growth.closures) <= most
    assert all(later <= earlier for earlier, later in itertools.pairwise(residuals))
