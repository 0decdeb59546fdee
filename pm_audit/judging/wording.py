"""How reasons and warnings are worded: a value first, then its interval."""

from __future__ import annotations

import math

from pm_audit.records import Evidence, PairsEvidence
from pm_audit.stats import Interval


def in_sigma(interval: Interval) -> str:
    """Write a signed interval in sigma: ``+0.42 sigma [+0.30, +0.55]``."""
    return f"{interval.value:+z.2f} sigma [{_end(interval.low, '+')}, {_end(interval.high, '+')}]"


def share(interval: Interval) -> str:
    """Write a share with its interval: ``0.62 [0.48, 0.71]``."""
    return f"{interval.value:z.2f} [{_end(interval.low)}, {_end(interval.high)}]"


def of_gap(part: float) -> str:
    """Write a share of the gap as a percentage: ``38%``."""
    return f"{100 * part:.0f}%"


def more_prompts(
    tried: int, *, of: int | None, at_most: int | None, pairs: PairsEvidence | None = None
) -> str:
    """Return how to try more prompts, with the setting ``prompts`` of ``at_most``.

    ``of`` are the prompts that the hypothesis has; None if a record does not say.  Of a preference
    set it is the size of the sample that decides.
    """
    if pairs is not None:
        if pairs.used < pairs.available:
            tried_of = f"{pairs.used:,} of {pairs.available:,} pairs were tried"
            return f"{tried_of}: raise `size` of the hypothesis' `sample`"
        return f"add rows to {pairs.file}"
    if of is not None and of > tried:
        return f"{tried} of {of} prompts were tried: raise the setting `prompts`"
    if at_most is not None and tried >= at_most:
        return f"add prompts, and raise the setting `prompts` from {at_most}"
    return "add prompts"


def more_searched(evidence: Evidence) -> str:
    """Return how to search for features on more of a preference set's prompts."""
    return (
        f"features were searched for on {len(evidence.prompts):,} of {evidence.tried:,} prompts: "
        "raise the setting `searched_prompts`"
    )


def _end(limit: float, sign: str = "") -> str:
    return f"{limit:{sign}z.2f}" if math.isfinite(limit) else "unbounded"
