"""Growing a joint set greedily by measured gain.

Single effects do not add up: two features may carry the same evidence (together they do less
than the sum) or gate one another (together they do more).  So the set is grown by ablating
jointly: at each step the most promising remaining candidates, in order of their single effect,
are each tried together with the set so far, and the one that leaves the smallest gap joins.
Growth stops when the set is full, when the gap is closed, or when no trial gains enough.

Gaps here are those of the discovery prompts; what the set is worth is measured elsewhere, on
prompts that the search has not seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pm_audit.records import Feature

GapAfter = Callable[[Sequence[tuple[Feature, ...]]], Sequence[float]]
"""Gap that remains after each of several sets is ablated jointly, raw reward."""


@dataclass(frozen=True, slots=True)
class Growth:
    """A grown set, in the order in which its features joined."""

    selected: tuple[Feature, ...]
    closures: tuple[float, ...]
    """Closure on the discovery prompts after each feature joined, as a share of the gap."""


def grow(
    candidates: Sequence[Feature],
    gap: float,
    gap_after: GapAfter,
    *,
    max_features: int,
    trials: int,
    least_gain: float,
) -> Growth:
    """Grow a set that closes ``gap``.

    Args:
        candidates: the most promising first.
        gap: gap of the discovery prompts before any ablation, raw reward, not zero.
        gap_after: measures the gap after joint ablations.
        max_features: largest set.
        trials: how many remaining candidates are tried at each step.
        least_gain: smallest growth of the closure, as a share of the gap, worth a feature.

    """
    selected: tuple[Feature, ...] = ()
    closures: list[float] = []
    remaining = list(candidates)
    residual = abs(gap)
    while remaining and len(selected) < max_features:
        tried = remaining[:trials]
        gaps = gap_after([(*selected, feature) for feature in tried])
        best = min(range(len(tried)), key=lambda index: abs(gaps[index]))
        if residual - abs(gaps[best]) < least_gain * abs(gap):
            # The most promising ones add nothing to the set; the rest deserve a look as well.
            remaining = remaining[trials:]
            continue
        selected = (*selected, tried[best])
        residual = abs(gaps[best])
        closures.append(1 - gaps[best] / gap)
        remaining.remove(tried[best])
    return Growth(selected, tuple(closures))
