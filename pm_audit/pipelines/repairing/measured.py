"""Rewards of pairs as a PM is and as every repair makes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pm_audit.errors import AuditError
from pm_audit.forward.features import Floats
from pm_audit.forward.grid import Integers
from pm_audit.forward.trace import rewards, trace
from pm_audit.interventions.ablation import ablate_sets
from pm_audit.interventions.levels import Levels, at_levels
from pm_audit.judging.miscalibration import Side
from pm_audit.loading.projected import projected
from pm_audit.pipelines.repairing.candidates import Candidate
from pm_audit.pipelines.repairing.paired_rewards import Read
from pm_audit.pipelines.repairing.verified_sets import VerifiedSet
from pm_audit.records.repair import ALL
from pm_audit.subject.preference_model import PreferenceModel
from pm_audit.subject.sae import Sae

Progress = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Measured:
    """What was read of some pairs."""

    read: Read
    gaps: Floats
    """[pair], reward of examples less counter-examples, as the PM is."""
    correct: Floats
    """[1 + candidate, pair]; the first as the PM is."""
    sides: dict[str, Side]
    """By verified set."""

    def change(self, number: int, pairs: Integers) -> float:
        """Return the change of accuracy by a candidate over some pairs."""
        return float((self.correct[number + 1] - self.correct[0])[pairs].mean())


def measure(
    pm: PreferenceModel,
    saes: Sequence[Sae],
    pairs: Read,
    candidates: Sequence[Candidate],
    sets: Sequence[VerifiedSet],
    report: Progress,
) -> Measured:
    """Read pairs as the PM is and as every candidate makes it.

    Candidates of features are replayed from the clean forward; one of directions changes the
    weights, so that every text is read again.
    """
    gaps = np.zeros(len(pairs.pairs))
    correct = np.zeros((1 + len(candidates), len(pairs.pairs)))
    markers = {one.name: one.marker for one in sets if one.marker is not None}
    sides = {name: np.zeros(len(pairs.pairs)) for name in markers}
    done = 0
    for portion in pairs.portions():
        clean = trace(pm, saes, portion.grid)
        own = np.array(portion.pairs)
        gaps[own] = portion.gaps(clean.rewards)
        correct[0, own] = portion.correct(clean.rewards)
        for name, marker in markers.items():
            shows = (marker.peaks(clean) > marker.threshold).astype(np.float64)
            sides[name][own] = np.sign(portion.gaps(shows))
        for levels, numbers in _by_levels(candidates):
            named = [candidates[at].features for at in numbers]
            after = ablate_sets(clean, named, targets=at_levels(clean, levels))
            for at, replayed in zip(numbers, after, strict=True):
                correct[1 + at, own] = portion.correct(replayed)
        done += len(own)
        report(f"read {done:,} of {len(pairs.pairs):,} pairs under {len(candidates)} repairs")
    for at, one in enumerate(candidates):
        if one.projection is None:
            continue
        report(f"reading the pairs with the directions of {one.name} projected out")
        changed = replace(projected(pm, one.projection), edits=pm.edits)
        for portion in pairs.portions():
            read = rewards(changed, portion.grid)
            correct[1 + at, np.array(portion.pairs)] = portion.correct(read)
    return Measured(pairs, gaps, correct, sides)


def subsets(pairs: Read, by: str | None) -> dict[str, Integers]:
    """Return the numbers of all pairs and of each subset's."""
    found = {ALL: np.arange(len(pairs.pairs))}
    if by is None:
        return found
    values = [pair.columns.get(by) for pair in pairs.pairs]
    if all(value is None for value in values):
        known = ", ".join(sorted({name for pair in pairs.pairs for name in pair.columns})) or "none"
        raise AuditError(f"column {by!r} is not in the pairs; their columns are {known}")
    for value in sorted({str(value) for value in values}):
        found[value] = np.array([at for at, one in enumerate(values) if str(one) == value])
    return found


def _by_levels(candidates: Sequence[Candidate]) -> Iterable[tuple[Levels, list[int]]]:
    """Group candidates of features that share their levels: their replays are run together."""
    groups: dict[int, tuple[Levels, list[int]]] = {}
    for at, one in enumerate(candidates):
        if one.projection is None:
            groups.setdefault(id(one.levels), (one.levels, []))[1].append(at)
    return groups.values()
