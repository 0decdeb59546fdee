"""The gap is one dot product, whatever the order and number of completions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pm_audit.forward.contrast import Contrast
from pm_audit.records import Role

EXAMPLE, COUNTER, CONTROL = Role.EXAMPLE, Role.COUNTER_EXAMPLE, Role.CONTROL
CONTRAST = Contrast(
    np.array([0, 0, 0, 0, 1, 1]), [EXAMPLE, EXAMPLE, COUNTER, CONTROL, EXAMPLE, COUNTER]
)
REWARDS = np.array([1.0, 3.0, 1.0, 50.0, 4.0, 6.0])


def test_the_gap_by_hand():
    assert CONTRAST.gap_by_prompt(REWARDS) == pytest.approx([1.0, -2.0])
    assert CONTRAST.weights([0, 1]) @ REWARDS == pytest.approx(-0.5)
    assert CONTRAST.weights([0]) @ REWARDS == pytest.approx(1.0)


def test_a_gap_among_some_rows_leaves_the_others_out():
    among = np.array([True, False, True, True, True, True])
    assert CONTRAST.gap_by_prompt(REWARDS, among=among) == pytest.approx([0.0, -2.0])


def test_weights_among_some_rows_make_their_mean_stand_for_all():
    among = np.array([True, False, True, True, True, True])
    weights = CONTRAST.weights([0, 1], among=among)
    assert weights @ REWARDS == pytest.approx((0.0 - 2.0) / 2)
    # one of two examples and the only counter-example of prompt 0: neither side shrinks
    assert weights.tolist() == [0.5, 0.0, -0.5, 0.0, 0.5, -0.5]


def test_a_sample_takes_one_row_of_each_prompt_and_role_and_every_phrasing():
    prompts, phrasings = 4, 3
    contrast = Contrast(
        np.repeat(np.arange(prompts), 2 * phrasings), [EXAMPLE, COUNTER] * (prompts * phrasings)
    )
    chosen = contrast.one_of_each()
    for role in (EXAMPLE, COUNTER):
        rows = np.flatnonzero(chosen & contrast.has_role(role))
        assert contrast.prompt[rows].tolist() == list(range(prompts))
        assert set(rows // 2 % phrasings) == set(range(phrasings))
    assert CONTRAST.one_of_each().tolist() == [True, False, True, True, True, True]


def test_controls_weigh_nothing():
    assert CONTRAST.weights([0, 1])[3] == 0.0


@given(st.permutations(range(6)), st.floats(-50, 50))
def test_order_and_a_prompts_own_level_do_not_matter(order, level):
    moved = Contrast(CONTRAST.prompt[order], [CONTRAST.role[at] for at in order])
    rewards = (REWARDS + np.where(CONTRAST.prompt == 1, level, 0.0))[order]
    assert moved.weights([0, 1]) @ rewards == pytest.approx(-0.5)
