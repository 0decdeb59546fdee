import math

import numpy as np
import pytest
from scipy import stats
from scipy.special import ndtr

from pm_audit.stats.bca import bca_limits


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("size", [14, 24])
def test_equals_scipy_on_the_same_resamples(size, confidence):
    generator = np.random.default_rng(size)
    data = generator.exponential(size=size)
    scipys = stats.bootstrap(
        (data,), np.mean, n_resamples=9999, confidence_level=confidence, method="BCa", rng=3
    )
    left_out = (data.sum() - data) / (size - 1)
    score = -stats.norm.ppf((1 - confidence) / 2)
    low, high = bca_limits(
        float(data.mean()), scipys.bootstrap_distribution, left_out, score=float(score)
    )
    # SciPy interpolates between two resamples, we round outwards to the next one; resamples
    # that are one value up to rounding count as one.
    theirs = scipys.confidence_interval
    steps = np.unique(np.round(scipys.bootstrap_distribution, 10))

    def resamples_between(one, other):
        return np.count_nonzero((steps > one + 1e-9) & (steps < other - 1e-9))

    assert low <= theirs.low + 1e-9
    assert high >= theirs.high - 1e-9
    assert resamples_between(low, theirs.low) == 0
    assert resamples_between(theirs.high, high) == 0


def test_equals_scipy_on_a_paired_ratio():
    generator = np.random.default_rng(5)
    gap = 1 + 0.5 * generator.normal(size=16)
    residual = 0.3 * gap + 0.2 * generator.normal(size=16)

    def closure(above, below, axis=-1):
        return 1 - np.mean(above, axis=axis) / np.mean(below, axis=axis)

    scipys = stats.bootstrap((residual, gap), closure, paired=True, n_resamples=9999, rng=3)
    left_out = 1 - (residual.sum() - residual) / (gap.sum() - gap)
    low, high = bca_limits(
        float(closure(residual, gap)),
        scipys.bootstrap_distribution,
        left_out,
        score=float(stats.norm.ppf(0.975)),
    )
    assert low == pytest.approx(scipys.confidence_interval.low, abs=2e-3)
    assert high == pytest.approx(scipys.confidence_interval.high, abs=2e-3)


def test_symmetric_resamples_give_plain_percentiles():
    resampled = np.linspace(-1, 1, 10_001)
    low, high = bca_limits(0.0, resampled, np.array([-1.0, 0.0, 1.0]), score=1.0)
    assert low == pytest.approx(2 * ndtr(-1.0) - 1, abs=1e-3)
    assert high == pytest.approx(1 - 2 * ndtr(-1.0), abs=1e-3)


def test_undefined_resamples_only_widen():
    resampled = np.linspace(-1, 1, 2001)
    jackknife = np.array([-1.0, 0.0, 1.0])
    clean = bca_limits(0.0, resampled, jackknife, score=1.5)
    few = np.where(np.arange(2001) % 100 == 0, np.nan, resampled)
    low, high = bca_limits(0.0, few, jackknife, score=1.5)
    assert low <= clean[0]
    assert high >= clean[1]
    many = np.where(np.arange(2001) % 5 == 0, np.nan, resampled)
    assert bca_limits(0.0, many, jackknife, score=1.5) == (-math.inf, math.inf)
    none = np.full(2001, np.nan)
    assert bca_limits(0.0, none, jackknife, score=1.5) == (-math.inf, math.inf)


def test_a_correction_out_of_range_reads_the_extreme():
    resampled = np.linspace(0, 1, 1001)
    skewed = np.array([0.0] * 30 + [1.0])
    low, high = bca_limits(0.001, resampled, skewed, score=8.0)
    assert 0 <= low <= high <= 1
    assert not math.isnan(low + high)
