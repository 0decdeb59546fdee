"""A cache of replays, by what a row's reward depends on under ablation.

Of an ablated set, only the features that differ from their targets in a row can change that row's
reward.  Two sets that agree on these are one intervention there: a grown set and the same set with
a feature that stays as it is in the row, a set of one and a single ablation, two random sets with
one member in common.  Each such (row, features that change) is run once and remembered.  Above an
ablation another SAE's features may change too, so all of the set's count there.

This holds for one choice of targets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pm_audit.forward.contrast import Floats
from pm_audit.forward.edits import Changes, matches
from pm_audit.forward.grid import Integers
from pm_audit.forward.trace import Trace

Pair = tuple[int, int]
"""Number of a set, row of the grid."""

Changed = tuple[int, ...]
"""Features of a set that may change in a row, sorted, each by its place among those of all SAEs."""


@dataclass(frozen=True, eq=False)
class ReplayCache:
    """Rewards of one trace after ablations that have been run."""

    rewards: dict[tuple[int, Changed], float] = field(default_factory=dict)
    """By row and the features ablated there."""

    def unknown(self, changed: Mapping[Pair, Changed]) -> list[Pair]:
        """Return one pair for each (row, features) whose reward is not known yet."""
        first: dict[tuple[int, Changed], Pair] = {}
        for pair, features in changed.items():
            if (pair[1], features) not in self.rewards:
                first.setdefault((pair[1], features), pair)
        return list(first.values())

    def learn(
        self, changed: Mapping[Pair, Changed], set_of: Integers, row: Integers, after: Floats
    ) -> None:
        """Remember the rewards [job] of pairs that were run."""
        for *pair, reward in zip(set_of.tolist(), row.tolist(), after.tolist(), strict=True):
            self.rewards[pair[1], changed[pair[0], pair[1]]] = reward

    def recall(self, changed: Mapping[Pair, Changed]) -> Floats:
        """Return the reward of every pair [pair]; all of them are known by now."""
        return np.array([self.rewards[pair[1], features] for pair, features in changed.items()])


def changed_by_pair(trace: Trace, changes: Sequence[Changes]) -> dict[Pair, Changed]:
    """Return each set's features that may change in a row, for rows with any."""
    widths = np.cumsum([0, *(sae.width for sae in trace.saes)]).tolist()
    place = {sae.name: width for sae, width in zip(trace.saes, widths, strict=False)}
    lowest, total = min(one.sae.layer for one in changes), len(trace.grid)
    below = [one.set_of * total + one.row for one in changes if one.sae.layer == lowest]
    moved = np.stack(np.divmod(np.unique(np.concatenate(below)), total))
    entries = []
    for one in changes:
        entries.append([one.set_of, one.row, place[one.sae.name] + one.latent])
        if one.sae.layer > lowest:
            at, member = matches(one.members.set_of, moved[0])
            entries.append([*moved[:, at], place[one.sae.name] + one.members.latent[member]])
    table = np.concatenate(entries, axis=1)
    table = table[:, np.lexsort(table[::-1])]
    table = table[:, (np.diff(table, axis=1, prepend=-1) != 0).any(axis=0)]
    bounds = np.flatnonzero((np.diff(table[:2], axis=1, prepend=-1) != 0).any(axis=0))
    pairs = zip(*table[:2, bounds].tolist(), strict=True)
    features = np.split(table[2], bounds)[1:]
    return {pair: tuple(own.tolist()) for pair, own in zip(pairs, features, strict=True)}
