"""Groups of features that are one thing to a reader: they come together, or point the same way.

A wide SAE shares a concept out among several latents.  Two features are alike by the larger of two
figures: the correlation, over comparisons, of how much more active they are on the chosen side;
and the cosine of their decoder rows.  Groups are those of average linkage, cut at ``ALIKE``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from pm_audit.interventions.ablation import ablate_sets
from pm_audit.records import Feature
from pm_audit.scanning.attributed import Attributed, read, require_tokens
from pm_audit.scanning.compared import Comparison, portions
from pm_audit.scanning.task import Subject, as_arrays, as_bytes
from pm_audit.subject.sae import Sae

Floats = npt.NDArray[np.float64]

ALIKE = 0.7
"""Mean similarity from which two groups are one."""


def similarities(entries: Attributed, sae: Sae, latents: Sequence[int], *, sampled: int) -> Floats:
    """Return how alike features are, [feature feature]."""
    lean = np.zeros((len(latents), sampled))
    for at, latent in enumerate(latents):
        own = entries.of(latent)
        lean[at, own.compared] = own.chosen.astype(np.float64) - own.rejected
    lean -= lean.mean(axis=1, keepdims=True)
    lean /= np.maximum(np.linalg.norm(lean, axis=1, keepdims=True), 1e-12)
    rows = sae.W_dec[list(latents)].double().cpu().numpy()
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    alike: Floats = np.maximum(lean @ lean.T, rows @ rows.T)
    return alike


def grouped(alike: Floats) -> list[tuple[int, ...]]:
    """Return groups of features by their places, each and all in the order of the places."""
    if len(alike) < 2:
        return [(at,) for at in range(len(alike))]
    apart = np.clip(1 - alike, 0, None)
    np.fill_diagonal(apart, 0)
    tree = linkage(squareform((apart + apart.T) / 2, checks=False), method="average")
    number = fcluster(tree, 1 - ALIKE, criterion="distance")
    found: dict[int, list[int]] = {}
    for at, one in enumerate(number.tolist()):
        found.setdefault(one, []).append(at)
    return [tuple(members) for members in found.values()]


def closeness(alike: Floats, members: Sequence[int]) -> float | None:
    """Return the least, over members, of the largest similarity with another."""
    if len(members) < 2:
        return None
    own = alike[np.ix_(members, members)].copy()
    np.fill_diagonal(own, -1)
    return float(own.max(axis=1).min())


@dataclass(frozen=True)
class GroupTask:
    """The ablations of whole groups in a shard, each on the side of its first feature."""

    compared: tuple[Comparison, ...]
    groups: tuple[tuple[int, ...], ...]
    wanted: tuple[tuple[int, int, int], ...]
    """Number of a comparison in the task, of a group, and the side."""
    budget: int
    stage: str = "group"

    def content(self) -> object:
        """Return the texts and what is ablated."""
        return [self.budget, self.groups, self.wanted, [one.content() for one in self.compared]]

    def run(self, subject: Subject) -> bytes:
        """Return the contributions in the order of ``wanted``, as an array."""
        sides = require_tokens(subject.pm, self.compared)
        wanted = np.array(self.wanted, dtype=np.int64).reshape(-1, 3)
        found = np.zeros(len(wanted))
        for portion in portions(sides, self.budget):
            own = np.flatnonzero(np.isin(wanted[:, 0], portion))
            clean, targets = read(subject, [sides[at] for at in portion])
            for group in np.unique(wanted[own, 1]):
                places = own[wanted[own, 1] == group]
                rows = 2 * (wanted[places, 0] - portion.start) + wanted[places, 2]
                members = _features(subject.sae, self.groups[group])
                after = ablate_sets(clean, [members], rows=rows, targets=targets)[0]
                found[places] = clean.rewards[rows] - after
        return as_bytes({"contrast": found})


def contributions(results: Sequence[bytes]) -> Floats:
    """Return the contributions of all tasks in order."""
    return np.concatenate([np.zeros(0), *(as_arrays(one)["contrast"] for one in results)])


def _features(sae: Sae, latents: Sequence[int]) -> list[Feature]:
    return [Feature(sae=sae.name, layer=sae.layer, index=latent) for latent in latents]
