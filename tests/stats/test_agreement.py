"""Agreement figures on cases that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pm_audit.stats.agreement import agreement

EFFECTS = arrays(float, st.integers(0, 20), elements=st.integers(-3, 3).map(float))


@given(EFFECTS)
def test_a_perfect_prediction_agrees_in_full(measured):
    found = agreement(measured, measured)
    assert found.rank_correlation in (None, pytest.approx(1.0))
    assert found.sign_agreement in (None, 1.0)


@given(EFFECTS)
def test_the_opposite_prediction_has_no_right_sign(measured):
    found = agreement(-2 * measured, measured)
    assert found.sign_agreement in (None, 0.0)


def test_dead_effects_count_neither_way():
    found = agreement(np.array([1.0, -1.0, 2.0, 5.0]), np.array([0.5, 0.5, 0.0, 0.0]))
    assert found.sign_agreement == 0.5
    assert agreement(np.ones(3), np.zeros(3)).sign_agreement is None


def test_ties_and_few_features_have_no_rank_correlation():
    assert agreement(np.ones(5), np.arange(5.0)).rank_correlation is None
    assert agreement(np.array([1.0, 2.0]), np.array([1.0, 2.0])).rank_correlation is None
    assert agreement(np.zeros(0), np.zeros(0)).rank_correlation is None
    ranked = agreement(np.array([1.0, 2.0, 3.0, 4.0]), np.array([10.0, 30.0, 20.0, 40.0]))
    assert ranked.rank_correlation == pytest.approx(0.8)


def test_predictions_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"\(2,\) predictions for \(3,\) measured"):
        agreement(np.zeros(2), np.zeros(3))
