"""Sigma: the pooled within-prompt spread over the shipped reference set."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pm_audit.errors import NumericalError
from pm_audit.forward.reference import reference_texts, sigma

PROMPTS = [0, 0, 0, 1, 1]


def test_sigma_by_hand():
    # deviations 1, 0, 1 and 2, 2: (1 + 0 + 1 + 4 + 4) / (2 + 1)
    assert sigma(PROMPTS, np.array([1.0, 2.0, 3.0, 5.0, 9.0])) == pytest.approx((10 / 3) ** 0.5)


@given(st.floats(-100, 100), st.floats(-100, 100))
def test_what_a_prompt_adds_to_all_its_rewards_does_not_matter(first, second):
    rewards = np.array([1.0, 2.0, 3.0, 5.0, 9.0])
    shifted = rewards + np.array([first] * 3 + [second] * 2)
    assert sigma(PROMPTS, shifted) == pytest.approx(sigma(PROMPTS, rewards))


def test_a_pm_without_preferences_is_an_error():
    with pytest.raises(NumericalError, match="one reward to all ordinary completions"):
        sigma(PROMPTS, np.array([1.0, 1.0, 1.0, 4.0, 4.0]))


def test_the_shipped_set_is_sound():
    texts = reference_texts()
    assert len(texts) == len({(turns, completion) for _, turns, completion in texts}) == 64
    assert all(completion.startswith(" ") for _, _, completion in texts)
