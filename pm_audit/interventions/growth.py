"""Growing a joint set greedily by measured gain.

Single effects do not add up: two features may carry the same evidence (together they do less
than the sum) or gate one another (together they do more).  So the set is grown by ablating
jointly: at each step candidates are tried together with the set so far, and the one that leaves
the smallest gap joins.  Growth stops when the set is full or when no candidate gains enough.

The order of trials is lazy (Minoux 1978): candidates are sorted by their last measured gain, alone
or with a smaller set, and a step ends as soon as the best of those tried gains more than the last
measured gain of the next.  If gains only shrink as the set grows, no untried
candidate could have gained more; if they grow, ``trials`` bounds the cost of a step, and no
candidate is dropped before it was tried with the current set.

Gaps here are those of the discovery prompts; what the set is worth is measured elsewhere, on
prompts that the search has not seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pm_audit.records import Feature

GapAfter = Callable[[Sequence[tuple[Feature, ...]]], Sequence[float]]
"""Gap that remains after each set is ablated jointly, raw reward."""

AT_ONCE = 2
"""Candidates tried at once: one alone does not fill a batch."""


@dataclass(frozen=True, slots=True)
class Growth:
    """A grown set, in the order in which its features joined."""

    selected: tuple[Feature, ...]
    closures: tuple[float, ...]
    """Closure on the discovery prompts after each feature joined, as a share of the gap."""


def grow(
    candidates: Mapping[Feature, float],
    gap: float,
    gap_after: GapAfter,
    *,
    max_features: int,
    trials: int,
    least_gain: float,
) -> Growth:
    """Return a set that closes ``gap``, the gap before any ablation, raw reward and not zero.

    ``candidates`` hold the gain that each is predicted to have alone, raw reward; after ``trials``
    candidates a step ends with the best of them, if the closure grows by ``least_gain``, a share of
    the gap.
    """
    selected: tuple[Feature, ...] = ()
    closures: list[float] = []
    residual = abs(gap)
    promise = dict(candidates)
    while promise and len(selected) < max_features:
        tried: dict[Feature, float] = {}
        while len(tried) < len(promise):
            waiting = [feature for feature in _best_first(promise) if feature not in tried]
            some = waiting[:AT_ONCE]
            gaps = gap_after([(*selected, feature) for feature in some])
            tried |= dict(zip(some, gaps, strict=True))
            promise |= {feature: residual - abs(tried[feature]) for feature in some}
            best = max(tried, key=promise.__getitem__)
            enough = promise[best] >= least_gain * abs(gap)
            beaten = len(waiting) <= AT_ONCE or promise[best] >= promise[waiting[AT_ONCE]]
            if enough and (beaten or len(tried) >= trials):
                break
        else:
            break
        selected = (*selected, best)
        residual = abs(tried[best])
        closures.append(1 - tried[best] / gap)
        del promise[best]
    return Growth(selected, tuple(closures))


def _best_first(promise: dict[Feature, float]) -> list[Feature]:
    return sorted(promise, key=lambda feature: -promise[feature])
