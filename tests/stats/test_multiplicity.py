import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pm_audit.errors import NumericalError
from pm_audit.stats import benjamini_hochberg

p_lists = st.lists(st.floats(min_value=0, max_value=1), min_size=1, max_size=30)


def test_worked_by_hand():
    # 4 tests: 0.01 * 4 / 1, 0.02 * 4 / 2, 0.03 * 4 / 3, 0.5 * 4 / 4, then the running minimum.
    assert benjamini_hochberg([0.5, 0.01, 0.03, 0.02]) == pytest.approx((0.5, 0.04, 0.04, 0.04))


def test_no_hypothesis_has_no_q_value():
    assert benjamini_hochberg([]) == ()


@given(p_values=p_lists)
def test_equals_scipy(p_values):
    ours = benjamini_hochberg(p_values)
    assert ours == pytest.approx(tuple(stats.false_discovery_control(p_values)))


@given(p_values=p_lists)
def test_q_is_at_least_p_and_keeps_the_order(p_values):
    q_values = np.array(benjamini_hochberg(p_values))
    assert np.all(q_values >= np.array(p_values) - 1e-15)
    assert np.all(np.diff(q_values[np.argsort(p_values, kind="stable")]) >= 0)


@pytest.mark.parametrize("broken", [float("nan"), -0.1, 1.5])
def test_a_broken_p_value_is_an_error(broken):
    with pytest.raises(NumericalError):
        benjamini_hochberg([0.1, broken])
