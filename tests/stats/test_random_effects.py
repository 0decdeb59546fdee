"""Variation between folds, against SciPy's analysis of variance and simulated truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import f, f_oneway

from pm_audit.stats import Interval, between_variance, widening

values_in_folds = st.lists(
    st.tuples(st.floats(-2, 2).map(lambda value: round(value, 3)), st.integers(0, 3)),
    min_size=6,
    max_size=24,
).filter(lambda pairs: len({fold for _, fold in pairs}) > 1)


def columns(pairs) -> tuple[np.ndarray, np.ndarray]:
    values, folds = zip(*pairs, strict=True)
    return np.array(values), np.array(folds)


def test_worked_by_hand():
    # means 1 and 3 of two prompts each: MSB = 4, MSW = 1, n0 = 2; the median of F(1, 2) is 2/3, as
    # that of its root, Student's t with 2, is the root of 2/3: so tau^2 = (4 / (2/3) - 1) / 2
    values, folds = np.array([1 - 0.5**0.5, 1 + 0.5**0.5, 3 - 0.5**0.5, 3 + 0.5**0.5]), [0, 0, 1, 1]
    assert between_variance(values, np.array(folds)) == pytest.approx(2.5)
    # se^2 = (4 + 2) / 3 / 4 = 1/2, and tau^2 / K = 5/4
    assert widening(values, np.array(folds)) == pytest.approx(math.sqrt(1 + 1.25 / 0.5))


@given(pairs=values_in_folds)
def test_the_mean_squares_are_those_of_the_analysis_of_variance(pairs):
    values, folds = columns(pairs)
    groups = [values[folds == fold] for fold in np.unique(folds)]
    within = sum(((group - group.mean()) ** 2).sum() for group in groups)
    within /= max(1, len(values) - len(groups))
    if within < 1e-6 or len(values) == len(groups):
        return
    ratio = f_oneway(*groups).statistic / f.median(len(groups) - 1, len(values) - len(groups))
    sizes = np.array([len(group) for group in groups])
    effective = (len(values) - (sizes**2).sum() / len(values)) / (len(groups) - 1)
    expected = max(0.0, within * (ratio - 1) / effective)
    assert between_variance(values, folds) == pytest.approx(expected, abs=1e-9)


@given(pairs=values_in_folds, shift=st.floats(-5, 5), scale=st.sampled_from([-4.0, 0.25, 8.0]))
def test_neither_unit_nor_origin_nor_names_matter(pairs, shift, scale):
    values, folds = columns(pairs)
    factor = widening(values, folds)
    assert factor >= 1
    assert widening(scale * values + shift, 7 - folds) == pytest.approx(factor, rel=1e-3, abs=1e-3)


@given(pairs=values_in_folds)
def test_folds_that_agree_within_the_noise_of_their_prompts_widen_nothing(pairs):
    values, folds = columns(pairs)
    for fold in np.unique(folds):
        values[folds == fold] -= values[folds == fold].mean()
    assert widening(values, folds) == pytest.approx(1.0)
    assert widening(values, np.zeros_like(folds)) == 1.0
    assert widening(values, np.arange(len(values))) == 1.0


@pytest.mark.parametrize("folds", [2, 4])
def test_it_is_below_the_variance_between_searches_as_often_as_above(folds):
    generator = np.random.default_rng(0)
    fold = np.repeat(np.arange(folds), 6)
    found = []
    for _ in range(2000):
        searches, prompts = generator.normal(size=folds), generator.normal(size=6 * folds)
        found.append(between_variance(prompts + 2.0 * searches[fold], fold))
    assert np.mean(np.array(found) < 4.0) == pytest.approx(0.5, abs=0.03)


def test_an_interval_is_widened_about_its_estimate():
    assert Interval(1.0, 0.5, 1.25).widened(2.0) == Interval(1.0, 0.0, 1.5)
    assert Interval(1.0, 0.5, 1.25).widened(1.0) == Interval(1.0, 0.5, 1.25)
    open_above = Interval(1.0, -math.inf, 2.0).widened(3.0)
    assert (open_above.low, open_above.high) == (-math.inf, 4.0)
