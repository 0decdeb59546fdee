"""What a set is searched for: a small residual, and little movement elsewhere.

On the rows that a search sees, a set S leaves the residual ``G_S / G`` and moves the templates of
counter-examples and controls; its collateral is the largest mean movement of one, as a share of the
gap.  The objective is ``|residual| + penalty x c^2``, with ``c`` the 4-norm of the templates'
movements, a smooth maximum.  So a set that overshoots is no better than one that falls short; a
feature that acts everywhere is not forbidden but measured; and small movements cost little, while
large ones cost more than the residual that they would close.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from pm_audit.forward.contrast import Floats, Integers, Mask
from pm_audit.forward.experiment import Experiment
from pm_audit.records import Role


@dataclass(frozen=True, eq=False)
class Objective:
    """The objective of one search; rewards after a set was replaced are [set row]."""

    rows: Integers
    """[row], rows of the grid that the search sees; all else follows this order."""
    clean: Floats
    """[row], raw reward before anything is replaced."""
    weights: Floats
    """[row], their product with rewards is the gap."""
    templates: Floats
    """[template row], their product with movements is a template's mean movement."""
    sample: Integers
    """Indices of the rows on which a move is tried first: one of each prompt and role."""
    penalty: float

    @classmethod
    def of(
        cls, experiment: Experiment, prompts: Iterable[int], sees: Mask, *, penalty: float
    ) -> Objective:
        """Return the objective on the rows of ``prompts`` that a search sees, [row]."""
        contrast = experiment.contrast
        rows = np.flatnonzero(sees)
        masks = [
            mask[rows]
            for role in (Role.COUNTER_EXAMPLE, Role.CONTROL)
            for mask in contrast.phrasings(role).values()
            if mask[rows].any()
        ]
        return cls(
            rows=rows,
            clean=experiment.rewards[rows],
            weights=contrast.weights(prompts, among=sees)[rows],
            templates=np.array([mask / mask.sum() for mask in masks]).reshape(-1, len(rows)),
            sample=np.flatnonzero(contrast.one_of_each(among=sees)[rows]),
            penalty=penalty,
        )

    @property
    def gap(self) -> float:
        """The gap before anything is replaced, raw reward."""
        return float(self.weights @ self.clean)

    def residual(self, after: Floats) -> Floats:
        """Return the gap that is left, as a share of the gap, [set]; negative: overshoot."""
        return np.asarray(after @ self.weights / self.gap)

    def collateral(self, after: Floats) -> Floats:
        """Return the largest mean movement of a template, as a share of the gap, [set]."""
        return np.asarray(np.abs(self._movements(after)).max(axis=-1, initial=0.0))

    def value(self, after: Floats) -> Floats:
        """Return what the search makes small, [set]."""
        movement = np.sqrt((self._movements(after) ** 4).sum(axis=-1))
        return np.asarray(np.abs(self.residual(after)) + self.penalty * movement)

    def slope(self, after: Floats) -> Floats:
        """Return the gradient of the value by the rewards [row] of one set, [row]."""
        moved = self._movements(after)
        size = abs(self.gap)
        steepness = 2 * moved**3 / max(float(np.sqrt((moved**4).sum())), 1e-12)
        closing = np.sign(after @ self.weights) * self.weights
        return np.asarray((closing + self.penalty * steepness @ self.templates) / size)

    def _movements(self, after: Floats) -> Floats:
        """Return the mean movement of each template, as a share of the gap, [set template]."""
        return np.asarray((after - self.clean) @ self.templates.T / abs(self.gap))
