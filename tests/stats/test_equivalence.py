import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pm_audit.stats import PromptBootstrap, equivalence_p_value

samples = st.lists(
    st.floats(min_value=-2, max_value=2).map(lambda number: round(number, 3)),
    min_size=3,
    max_size=20,
).map(np.array)


def test_equals_two_one_sided_t_tests():
    data = np.random.default_rng(0).normal(0.05, 0.2, size=14)
    upper = stats.ttest_1samp(data, 0.3, alternative="less").pvalue
    lower = stats.ttest_1samp(data, -0.3, alternative="greater").pvalue
    assert equivalence_p_value(data, 0.3) == pytest.approx(max(upper, lower))


def test_equal_values_decide_without_spread():
    assert equivalence_p_value(np.full(8, 0.1), 0.2) == 0.0
    assert equivalence_p_value(np.full(8, 0.25), 0.25) == 1.0


def test_one_prompt_shows_nothing():
    assert equivalence_p_value(np.array([0.0]), 1.0) == 1.0


@pytest.mark.parametrize("margin", [0.0, -1.0, float("nan")])
def test_a_margin_must_be_positive(margin):
    with pytest.raises(ValueError, match="margin"):
        equivalence_p_value(np.zeros(5), margin)


@given(data=samples)
def test_a_wider_margin_is_never_harder(data):
    p_values = [equivalence_p_value(data, margin) for margin in (0.1, 0.5, 1.0, 3.0)]
    assert p_values == sorted(p_values, reverse=True)


@given(data=samples, margin=st.floats(min_value=0.1, max_value=3))
def test_an_interval_inside_the_margin_implies_the_test(data, margin):
    interval = PromptBootstrap(len(data), resamples=200, confidence=0.95, seed=0).mean(data)
    if interval.within(-margin, margin):
        assert equivalence_p_value(data, margin) <= 0.025 + 1e-9
