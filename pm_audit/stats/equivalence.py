"""Equivalence of a mean to zero by two one-sided tests (Schuirmann 1987).

A gap that is not significant may still exist.  "None" is shown by rejecting both that the mean is
at or below ``-margin`` and that it is at or above ``+margin``; the p-value of equivalence is the
larger of the two.  The tests are Student's t on prompt-level values.

The verdict requires more: the whole interval of ``bootstrap.py`` inside the margin.  That interval
contains the t interval, so this p-value is then below half of alpha.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr


def equivalence_p_value(differences: NDArray[np.float64], margin: float) -> float:
    """Return the p-value of the claim that the mean lies within ``margin`` of zero.

    Args:
        differences: one value for each ``"prompt"``.
        margin: largest mean, in the unit of ``differences``, that counts as none; positive.

    Returns:
        The larger of the two one-sided p-values; 1.0 for fewer than two prompts.

    """
    if not margin > 0:
        raise ValueError(f"the margin is {margin}; equivalence needs a positive one")
    size = len(differences)
    if size < 2:
        return 1.0
    mean = float(np.mean(differences))
    distance = margin - abs(mean)
    error = float(np.std(differences, ddof=1)) / math.sqrt(size)
    if error == 0:
        return 0.0 if distance > 0 else 1.0
    return float(stdtr(size - 1, -distance / error))
