"""The smallest gap that the prompts at hand would detect.

A one-sample t test over prompts at a two-sided level finds a gap of the right sign with power
``1 - F(t_crit)``, where F is the noncentral t distribution with noncentrality
``gap * sqrt(n) / sd`` (Cohen 1988, section 2).  The gap is solved for, given the standard
deviation over prompts that was measured.  A finding of the wrong sign is not counted as power.
"""

from __future__ import annotations

import math

from scipy.special import nctdtrinc, stdtrit

LEVEL = 0.05
"""Two-sided level of the test."""

POWER = 0.8
"""Chance that the test finds a gap of the returned size."""


def minimum_detectable_gap(deviation: float, prompts: int) -> float:
    """Return the mean, in the unit of ``deviation``, detected at ``LEVEL`` with ``POWER``.

    Args:
        deviation: standard deviation over prompts (n - 1 in the denominator).
        prompts: number of prompts, at least two.

    """
    if prompts < 2:
        raise ValueError(f"{prompts} prompt has no standard deviation; add prompts")
    freedom = prompts - 1
    critical = float(stdtrit(freedom, 1 - LEVEL / 2))
    noncentrality = float(nctdtrinc(freedom, 1 - POWER, critical))
    return noncentrality * deviation / math.sqrt(prompts)
