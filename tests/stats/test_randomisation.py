import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pm_audit.stats import sign_flip_p_value


def test_enumerated_by_hand():
    # Of the 8 sign assignments of 1, 2, 3 only +++ and --- sum to 6 in size.
    assert sign_flip_p_value(np.array([1.0, 2.0, 3.0])) == pytest.approx(2 / 8)
    # 1 + 2 - 3 = 0, so every assignment is at least as far.
    assert sign_flip_p_value(np.array([1.0, 2.0, -3.0])) == 1.0


def test_equals_scipys_exact_permutation():
    data = np.random.default_rng(0).normal(0.5, 1, size=9)
    theirs = stats.permutation_test((data,), np.mean, permutation_type="samples", n_resamples=10**5)
    assert sign_flip_p_value(data) == pytest.approx(theirs.pvalue)


def test_random_assignments_agree_with_the_t_test_and_are_never_zero():
    generator = np.random.default_rng(0)
    data = generator.normal(0.4, 1, size=40)
    assert sign_flip_p_value(data) == pytest.approx(stats.ttest_1samp(data, 0).pvalue, abs=0.01)
    certain = sign_flip_p_value(np.full(30, 5.0), resamples=1000)
    assert certain == pytest.approx(1 / 1001)
    assert sign_flip_p_value(data, seed=3) == sign_flip_p_value(data, seed=3)


def test_no_gap_anywhere_is_no_evidence():
    assert sign_flip_p_value(np.zeros(12)) == 1.0
    assert sign_flip_p_value(np.zeros(50)) == 1.0


@given(data=st.lists(st.floats(-5, 5), min_size=1, max_size=10).map(np.array))
def test_sign_and_scale_and_order_do_not_matter(data):
    p_value = sign_flip_p_value(data)
    assert 0 < p_value <= 1
    assert sign_flip_p_value(-data) == p_value
    assert sign_flip_p_value(data[::-1]) == p_value


def test_level_under_the_null():
    generator = np.random.default_rng(1)
    p_values = [sign_flip_p_value(generator.normal(size=8)) for _ in range(1000)]
    assert np.mean(np.array(p_values) <= 0.05) < 0.07
