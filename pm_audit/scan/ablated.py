"""What candidates do for real: each is ablated alone, where it is active.

A contribution is reward minus reward after ablation.  Under the contrast the feature is put at
the other side's mean on its active side alone, which takes away what it contributes to the
comparison; under zero it is silenced on both sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pm_audit.forward.grid import Integers
from pm_audit.forward.targets import Targets
from pm_audit.interventions.ablation import ablate_each
from pm_audit.scan.attributed import read, require_tokens
from pm_audit.scan.compared import CHOSEN, REJECTED, Comparison, Sides, portions
from pm_audit.scan.task import Subject, as_arrays, as_bytes

Floats = npt.NDArray[np.float64]
Wanted = tuple[int, int, int]
"""Number of a comparison in the task, feature, active side."""


@dataclass(frozen=True, eq=False)
class Ablated:
    """Contributions, one entry a comparison and feature; raw reward."""

    contrast: Floats
    """On the active side, to the other side's mean."""
    zero_chosen: Floats
    """On the chosen side, to zero."""
    zero_rejected: Floats


@dataclass(frozen=True)
class AblateTask:
    """The ablations of a shard."""

    compared: tuple[Comparison, ...]
    wanted: tuple[Wanted, ...]
    budget: int
    stage: str = "ablate"

    def content(self) -> object:
        """Return the texts and what is ablated."""
        return [self.budget, self.wanted, [one.content() for one in self.compared]]

    def run(self, subject: Subject) -> bytes:
        """Return the contributions in the order of ``wanted``, as arrays."""
        sides = require_tokens(subject.pm, self.compared)
        wanted: Integers = np.array(self.wanted, dtype=np.int64).reshape(-1, 3)
        found = np.zeros((3, len(wanted)))
        for portion in portions(sides, self.budget):
            own = np.flatnonzero(np.isin(wanted[:, 0], portion))
            there = wanted[own] - np.array([portion.start, 0, 0])
            found[:, own] = _ablated(subject, [sides[at] for at in portion], there)
        return as_bytes(dict(zip(_NAMES, found, strict=True)))


_NAMES = ("contrast", "zero_chosen", "zero_rejected")


def joined(results: Sequence[bytes]) -> Ablated:
    """Return the contributions of all tasks in order."""
    parts = [as_arrays(result) for result in results]
    return Ablated(
        *(np.concatenate([np.zeros(0), *(one[name] for one in parts)]) for name in _NAMES)
    )


def _ablated(subject: Subject, sides: Sequence[Sides], wanted: Integers) -> Floats:
    """Return contributions [kind, wanted]."""
    clean, targets = read(subject, sides)
    compared, latent, side = wanted.T
    latents, at = np.unique(latent, return_inverse=True)
    everywhere = np.arange(len(clean.grid))

    def run(rows: Integers, places: Integers, to: Targets | None) -> Floats:
        where = np.zeros((len(latents), len(clean.grid)), dtype=bool)
        where[places, rows] = True
        effects = ablate_each(clean, subject.sae, latents, where=where, targets=to)
        return effects.dense(latents, everywhere)

    contrast = run(2 * compared + side, at, targets)
    rows = np.concatenate([2 * compared + CHOSEN, 2 * compared + REJECTED])
    zero = run(rows, np.tile(at, 2), None)
    return np.stack(
        [
            contrast[at, 2 * compared + side],
            zero[at, 2 * compared + CHOSEN],
            zero[at, 2 * compared + REJECTED],
        ]
    )
