"""Growth on sets whose joint effect is known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pm_audit.interventions.growth import LEAST_GAIN, REPAIRS, Growth, grow
from pm_audit.interventions.objective import Objective

PROMPTS = 3


def objective(gap: float = 1.0, penalty: float = 1.5) -> Objective:
    """Return rows of three prompts: an example, a counter-example and a control each."""
    clean = np.tile([gap, 0.0, 0.5], PROMPTS)
    control = np.tile([0.0, 0.0, 1.0], PROMPTS)
    return Objective(
        rows=np.arange(3 * PROMPTS),
        clean=clean,
        weights=np.tile([1.0, -1.0, 0.0], PROMPTS) / PROMPTS,
        templates=np.stack([np.roll(control, -1), control]) / PROMPTS,
        sample=np.arange(3),
        penalty=penalty,
    )


def effects(*of_example: float, control: dict[int, float] | None = None) -> np.ndarray:
    """Return contributions [feature row], the same for every prompt."""
    table = [[one, 0.0, (control or {}).get(at, 0.0)] for at, one in enumerate(of_example)]
    return np.tile(np.array(table), PROMPTS)


class Additive:
    """Replays in which effects add up, counted."""

    def __init__(self, table: np.ndarray, clean: np.ndarray) -> None:
        self.table, self.clean = table, clean
        self.replays: list[tuple[tuple[int, ...], int]] = []

    def __call__(self, sets, at):
        self.replays += [(members, len(at)) for members in sets]
        return np.stack([self.clean[at] - self.table[list(one)][:, at].sum(axis=0) for one in sets])


def run(table, *, gap=1.0, predicted=None, most=10, trials=4, penalty=1.5) -> Growth:
    aim = objective(gap, penalty)
    shown = table if predicted is None else predicted
    return grow(aim, shown, Additive(table, aim.clean), most=most, trials=trials)


@pytest.mark.parametrize("sign", [1, -1])
def test_planted_features_are_found_and_close_the_gap(sign):
    found = run(sign * effects(0.6, 0.0, 0.4, -0.1), gap=sign)
    assert set(found.selected) == {0, 2}
    assert found.closures == pytest.approx((0.6, 1.0))
    assert found.collaterals == (0.0, 0.0)


def test_a_set_that_overshoots_is_no_better_than_one_that_falls_short():
    assert set(run(effects(0.7, 1.35, 0.25)).selected) == {0, 2}
    assert run(effects(2.1)).selected == ()
    assert run(effects(1.9)).closures == pytest.approx((1.9,))


def test_what_moves_elsewhere_counts_against_a_feature():
    table = effects(0.6, 0.5, control={0: 0.5})
    assert run(table, most=1, penalty=0.0).selected == (0,)
    found = run(table, most=1)
    assert found.selected == (1,)
    assert found.collaterals == (0.0,)
    assert run(table, most=1, penalty=0.3).selected == (0,)


def test_collateral_is_the_largest_template_as_a_share_of_the_gap():
    assert run(effects(0.5, control={0: -0.1}), gap=0.5).collaterals == pytest.approx((0.2,))


def test_a_feature_without_gain_never_joins():
    found = run(effects(0.0, -1.0, 0.5 * LEAST_GAIN))
    assert found.selected == found.closures == ()
    assert grow(objective(), np.zeros((0, 9)), None, most=3, trials=2).selected == ()


def test_redundant_features_join_once():
    aim = objective()

    def replay(sets, at):
        closed = np.tile([1.0, 0.0, 0.0], PROMPTS)
        return np.stack([aim.clean[at] - closed[at] for _ in sets])

    assert len(grow(aim, effects(1.0, 1.0), replay, most=5, trials=2).selected) == 1


def test_two_that_do_better_together_take_the_place_of_the_best_alone():
    # 0 closes most alone, and the two others close all
    found = run(effects(0.7, 0.5, 0.5), most=2)
    assert set(found.selected) == {1, 2}
    assert found.closures[-1] == pytest.approx(1.0)


def test_trials_correct_what_attribution_says():
    wrong = effects(0.9, 0.8, 0.1)
    found = run(effects(0.0, 0.1, 1.0), predicted=wrong, trials=3)
    assert 2 in found.selected
    assert found.closures[-1] == pytest.approx(1.0)
    assert found.trials[0] == pytest.approx((0.9, 0.0))  # attribution alone, not the sample


def test_a_move_is_tried_on_the_sample_and_made_only_if_all_rows_agree():
    table = effects(1.0, 0.5)
    table[0, 3:] = [-0.5, 0.0, 0.0] * 2  # it helps the sample's prompt alone
    aim = objective()
    replay = Additive(table, aim.clean)
    found = grow(aim, effects(1.0, 0.5), replay, most=1, trials=2)
    assert found.selected == (1,)
    assert replay.replays == [((0,), 3), ((1,), 3), ((0,), 9), ((1,), 9)]


@given(
    st.lists(st.tuples(st.floats(-1, 1), st.floats(-0.5, 0.5)), max_size=8),
    st.integers(1, 5),
    st.sampled_from([-3.0, 1.0]),
)
def test_every_move_lowers_the_objective_and_the_set_is_bounded(pairs, most, gap):
    table = np.tile(np.array([[one, 0.0, other] for one, other in pairs]).reshape(-1, 3), PROMPTS)
    aim = objective(gap)
    replay = Additive(table, aim.clean)
    found = grow(aim, table, replay, most=most, trials=3)
    assert len(found.selected) == len(set(found.selected)) <= most
    assert len(replay.replays) <= (most + 1 + REPAIRS) * (3 + 2)
    values = [1.0] + [
        abs(1 - closure) + aim.penalty * collateral**2
        for closure, collateral in zip(found.closures, found.collaterals, strict=True)
    ]
    assert all(later <= one - 0.99 * LEAST_GAIN for one, later in itertools.pairwise(values))
    after = aim.clean - table[list(found.selected)].sum(axis=0)
    assert float(aim.value(after)) == pytest.approx(values[-1])
    # every single addition was tried or is no better
    if len(found.selected) < most and len(pairs) <= 3:
        for one in set(range(len(pairs))) - set(found.selected):
            assert aim.value(after - table[one]) >= values[-1] - LEAST_GAIN - 1e-9
