"""Variation between folds beyond what prompts alone make of it: one-way random effects.

Each fold tests the set that its own search found, so a mean over prompts varies with the searches
as well as with the prompts.  Value ``p`` of fold ``k`` is the mean plus an effect of the fold, of
variance tau^2, plus the prompt's own deviation.  With the mean squares of a one-way analysis of
variance, between and within K folds of ``n_k`` of N prompts, and the median ``m`` of the F
distribution with K - 1 and N - K degrees of freedom,

    tau^2 = max(0, (MSB / m - MSW) / n_0),    n_0 = (N - sum n_k^2 / N) / (K - 1)

MSB / MSW is ``1 + n_0 tau^2 / MSW`` times an F variable if all is normal and folds are alike in
size (Searle, Casella and McCulloch 1992, "Variance components", section 3.6), so this is too small
as often as too large.  With ``m = 1``, the method of moments, it is right on average, but from two
folds too small in two cases of three.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtri


def between_variance(values: NDArray[np.float64], folds: NDArray[np.int64]) -> float:
    """Return the median-unbiased tau^2; 0 if there is one fold, or no fold holds two prompts.

    Args:
        values: one for each ``"prompt"``.
        folds: number of the fold that holds each prompt out.

    """
    names, place, sizes = np.unique(folds, return_inverse=True, return_counts=True)
    size, count = len(values), len(names)
    if not 1 < count < size:
        return 0.0
    means = np.bincount(place, weights=values) / sizes
    between = float(sizes @ (means - values.mean()) ** 2) / (count - 1)
    within = float(((values - means[place]) ** 2).sum()) / (size - count)
    alike = (size - float(sizes @ sizes) / size) / (count - 1)
    return max(0.0, (between / float(fdtri(count - 1, size - count, 0.5)) - within) / alike)


def widening(values: NDArray[np.float64], folds: NDArray[np.int64]) -> float:
    """Return by how much an interval of the mean that covers prompts alone is widened.

    ``sqrt(1 + tau^2 sum (n_k / N)^2 / se^2)``, with the standard error of the mean over prompts; 1
    if the folds agree within the noise of their prompts.
    """
    variance = between_variance(values, folds)
    if variance == 0:
        return 1.0
    error = float(np.var(values, ddof=1)) / len(values)
    shares = np.unique(folds, return_counts=True)[1] / len(values)
    return math.sqrt(1 + variance * float(shares @ shares) / error)
