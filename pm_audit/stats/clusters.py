"""Means and shares over clustered units: the pairs of a preference set, in clusters by prompt.

The resampling of ``bootstrap.py`` is for tens of prompts and ratios of any kind; a preference set
has thousands of pairs and asks for means alone.  A mean has a t interval on the cluster-robust
standard error (Liang and Zeger 1986), with one degree of freedom less than there are clusters.  A
share has Wilson's interval with the number of pairs that would be as informative if all were
independent, so that a share of 0 or 1 has an interval too.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from pm_audit.stats.bootstrap import Interval

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def clustered_mean(values: Floats, cluster: Integers, *, confidence: float) -> Interval:
    """Return the mean of ``values`` [unit] and its interval; ``cluster`` is [unit].

    The interval is infinite for fewer than two clusters.
    """
    mean = float(np.mean(values))
    variance, clusters = _variance(values, cluster)
    if clusters < 2:
        return Interval(mean, -math.inf, math.inf)
    reach = _score(clusters, confidence) * math.sqrt(variance)
    return Interval(mean, mean - reach, mean + reach)


def clustered_share(values: Floats, cluster: Integers, *, confidence: float) -> Interval:
    """Return the mean of ``values`` [unit], each from 0 to 1, and its interval inside 0 to 1."""
    share = float(np.mean(values))
    variance, clusters = _variance(values, cluster)
    if clusters < 2:
        return Interval(share, 0.0, 1.0)
    spread = share * (1 - share)
    units = min(len(values), spread / variance) if variance > 0 and spread > 0 else clusters
    square = _score(clusters, confidence) ** 2 / units
    middle = (share + square / 2) / (1 + square)
    reach = math.sqrt(square) * math.sqrt(spread + square / 4) / (1 + square)
    return Interval(share, max(0.0, min(share, middle - reach)), min(1.0, middle + reach))


def _variance(values: Floats, cluster: Integers) -> tuple[float, int]:
    """Return the variance of the mean and the number of clusters."""
    found, of_unit = np.unique(cluster, return_inverse=True)
    sums = np.bincount(of_unit, values - np.mean(values))
    clusters = len(found)
    if clusters < 2:
        return math.inf, clusters
    return float(clusters / (clusters - 1) * np.sum(sums**2) / len(values) ** 2), clusters


def _score(clusters: int, confidence: float) -> float:
    return float(stdtrit(clusters - 1, (1 + confidence) / 2))
