"""The smallest gap that the prompts at hand would detect.

A two-sided one-sample t test over prompts has power ``1 - F(t_crit) + F(-t_crit)`` under the
noncentral t distribution with noncentrality ``gap * sqrt(n) / sd`` (Cohen 1988, section 2).
The gap is solved for, given the standard deviation over prompts that was measured.
"""

from __future__ import annotations

import math

from scipy.optimize import brentq
from scipy.stats import nct, t


def minimum_detectable_gap(
    deviation: float, prompts: int, *, level: float = 0.05, power: float = 0.8
) -> float:
    """Return the mean, in the unit of ``deviation``, detected with the stated power.

    Args:
        deviation: standard deviation over prompts (n - 1 in the denominator).
        prompts: number of prompts, at least two.
        level: two-sided level of the test.
        power: chance that the test finds a gap of the returned size.

    """
    if prompts < 2:
        raise ValueError(f"{prompts} prompt has no standard deviation; add prompts to the probe")
    freedom = prompts - 1
    critical = float(t.isf(level / 2, freedom))

    def shortfall(noncentrality: float) -> float:
        reached = nct.sf(critical, freedom, noncentrality)
        missed_side = nct.cdf(-critical, freedom, noncentrality)
        return float(reached + missed_side - power)

    # The noncentrality at which power is reached never exceeds the sum of the two quantiles
    # of Student's t by much; three times that is a safe bracket even for two prompts.
    ceiling = 3 * (critical + float(t.ppf(power, freedom)))
    return float(brentq(shortfall, 0.0, ceiling, xtol=1e-6)) * deviation / math.sqrt(prompts)
