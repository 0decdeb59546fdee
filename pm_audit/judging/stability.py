"""Stability: how far searches on different prompts find the same features.

The Jaccard index of two sets is the size of their intersection over that of their union
(Jaccard 1912); two sets of one size that share half of their features have 1/3.  Two empty sets
count 0, as searches that found nothing agree on no feature.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import combinations
from statistics import fmean

from pm_audit.records import Evidence, Feature
from pm_audit.stats import Interval


def stability_of(evidence: Evidence) -> Interval | None:
    """Return the mean, the least and the largest index of a pair of searches; None without two."""
    pairs = [*combinations([fold.selected for fold in evidence.folds], 2)]
    pairs += combinations(evidence.halves, 2)
    found = [jaccard(one, other) for one, other in pairs]
    return Interval(fmean(found), min(found), max(found)) if found else None


def jaccard(one: Collection[Feature], other: Collection[Feature]) -> float:
    """Return the share of the features of two sets that both hold."""
    names, others = set(map(str, one)), set(map(str, other))
    return len(names & others) / len(names | others) if names or others else 0.0
