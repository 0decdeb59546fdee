"""A cache of replays, by what a row's reward depends on under ablation.

Of an ablated set, only the features that differ from their targets in a row can change that row's
reward.  Two sets that agree on these are one intervention there: a grown set and the same set with
a feature that stays as it is in the row, a set of one and a single ablation, two random sets with
one member in common.  Each such (row, features that change) is run once and remembered.

This holds for one choice of targets, and for sets within one SAE: above an ablation another SAE's
features may change too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from pm_audit.forward.contrast import Floats, Mask
from pm_audit.forward.edits import Changes
from pm_audit.forward.grid import Integers

Pair = tuple[int, int]
"""Number of a set, row of the grid."""

Changed = tuple[int, ...]
"""Latents of a set that change in a row, sorted."""


@dataclass(frozen=True, eq=False)
class ReplayCache:
    """Rewards of one trace after ablations that have been run."""

    rewards: dict[tuple[str, int, Changed], float] = field(default_factory=dict)
    """By SAE, row and the latents ablated there."""

    def unknown(self, sae: str, changed: Mapping[Pair, Changed]) -> set[Pair]:
        """Return one pair for each (row, latents) whose reward is not known yet."""
        first: dict[tuple[int, Changed], Pair] = {}
        for pair, latents in changed.items():
            if (sae, pair[1], latents) not in self.rewards:
                first.setdefault((pair[1], latents), pair)
        return set(first.values())

    def learn(self, sae: str, changed: Mapping[Pair, Changed], after: Mapping[Pair, float]) -> None:
        """Remember the rewards of pairs that were run."""
        for pair, reward in after.items():
            self.rewards[sae, pair[1], changed[pair]] = reward

    def learn_single(self, sae: str, latent: Integers, row: Integers, after: Floats) -> None:
        """Remember the rewards of single ablations, one entry a (latent, row)."""
        for one, where, reward in zip(latent.tolist(), row.tolist(), after.tolist(), strict=True):
            self.rewards[sae, where, (one,)] = reward

    def recall(self, sae: str, changed: Mapping[Pair, Changed]) -> dict[Pair, float]:
        """Return the reward of every pair; all of them are known by now."""
        return {pair: self.rewards[sae, pair[1], latents] for pair, latents in changed.items()}


def changed_by_pair(changes: Changes) -> dict[Pair, Changed]:
    """Return each set's latents that change in a row, for rows with any."""
    table = np.unique(np.stack([changes.set_of, changes.row, changes.latent], axis=1), axis=0)
    bounds = np.flatnonzero(np.any(np.diff(table[:, :2], axis=0), axis=1)) + 1
    parts = np.split(table, bounds) if len(table) else []
    return {(int(part[0, 0]), int(part[0, 1])): tuple(part[:, 2].tolist()) for part in parts}


def all_but(pairs: set[Pair], sets: int, rows: int) -> Mask:
    """Return a mask [set row] of every pair that is not among ``pairs``."""
    mask = np.ones((sets, rows), dtype=bool)
    if pairs:
        at: Integers = np.array(sorted(pairs), dtype=np.int64)
        mask[at[:, 0], at[:, 1]] = False
    return mask
