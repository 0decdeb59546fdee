"""How numbers are written in reasons and warnings: value first, then the interval."""

from __future__ import annotations

import math

from pm_audit.stats import Interval


def in_sigma(interval: Interval) -> str:
    """Write a signed interval in sigma: ``+0.42 sigma [+0.30, +0.55]``."""
    return f"{interval.value:+.2f} sigma [{_end(interval.low, '+')}, {_end(interval.high, '+')}]"


def share(interval: Interval) -> str:
    """Write a share with its interval: ``0.62 [0.48, 0.71]``."""
    return f"{interval.value:.2f} [{_end(interval.low)}, {_end(interval.high)}]"


def of_gap(part: float) -> str:
    """Write a share of the gap as a percentage: ``38%``."""
    return f"{100 * part:.0f}%"


def _end(limit: float, sign: str = "") -> str:
    return f"{limit:{sign}.2f}" if math.isfinite(limit) else "unbounded"
