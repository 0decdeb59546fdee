"""BCa limits: bias-corrected and accelerated percentiles of a bootstrap distribution.

Efron (1987), "Better bootstrap confidence intervals".  For a nominal normal score ``z`` the limit
is the percentile ``Phi(bias + (bias + z) / (1 - skew (bias + z)))``.  ``bias`` is the normal score
of the estimate's own rank among the resamples, and ``skew`` the acceleration, by the jackknife.

``scipy.stats.bootstrap(method="BCa")`` computes the same (a test holds that) and is not used: it
cannot expand the level, gives NaN as soon as one resample is undefined, and draws resamples for
each statistic, where one draw here serves all of them in a sixth of the time.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

ROUNDING = 1e-12
"""Relative difference below which a resample ties with the estimate."""


def bca_limits(
    value: float,
    resampled: NDArray[np.float64],
    left_out: NDArray[np.float64],
    *,
    score: float,
) -> tuple[float, float]:
    """Return the lower and the upper limit.

    Args:
        value: the estimate.
        resampled: the statistic on each ``"resample"``; NaN if it is undefined.
        left_out: the statistic with each ``"prompt"`` left out, not all equal.
        score: half-width of the interval on the normal scale: 1.96 for a plain 95%.

    Returns:
        Limits that are order statistics, rounded outwards; infinite if undefined resamples
        (which count against both limits) reach the percentile.

    """
    defined = resampled[np.isfinite(resampled)]
    if not len(defined):
        return -math.inf, math.inf
    slack = ROUNDING * max(1.0, abs(value))
    rank = float(np.mean(defined < value - slack) + np.mean(defined <= value + slack)) / 2
    edge = 0.5 / len(defined)
    bias = float(ndtri(min(max(rank, edge), 1 - edge)))
    influence = left_out.mean() - left_out
    skew = float(np.sum(influence**3) / (6 * np.sum(influence**2) ** 1.5))
    below = np.where(np.isfinite(resampled), resampled, -np.inf)
    above = np.where(np.isfinite(resampled), resampled, np.inf)
    low = np.quantile(below, _percentile(bias, skew, -score), method="lower")
    high = np.quantile(above, _percentile(bias, skew, score), method="higher")
    return float(low), float(high)


def _percentile(bias: float, skew: float, score: float) -> float:
    shifted = bias + score
    stretch = 1 - skew * shifted
    if stretch <= 0:
        # The correction has left its range (Efron 1987, section 3); the extreme is the answer.
        return 0.0 if score < 0 else 1.0
    return float(ndtr(bias + shifted / stretch))
