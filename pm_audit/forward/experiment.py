"""An experiment: the clean forward of a hypothesis' completions, and what each of them is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from pm_audit.forward.contrast import Contrast, Floats, Integers
from pm_audit.forward.trace import Trace
from pm_audit.records import Role


@dataclass(frozen=True, eq=False)
class Experiment:
    """Everything that search and baselines need to know of a PM and a hypothesis."""

    trace: Trace
    contrast: Contrast

    @property
    def rewards(self) -> Floats:
        """[row], raw reward of the clean forward."""
        return self.trace.rewards

    def rows(self, *roles: Role, prompts: Iterable[int] | None = None) -> Integers:
        """Return the rows of these prompts (all for None) that have one of these roles."""
        return np.flatnonzero(self.contrast.has_role(*roles, prompts=prompts))

    def rows_of(self, prompts: Iterable[int]) -> Integers:
        """Return all rows of these prompts."""
        return np.flatnonzero(self.contrast.of_prompts(prompts))

    def gap(self, prompts: Iterable[int]) -> float:
        """Return the gap of these prompts, raw reward."""
        return float(self.contrast.weights(prompts) @ self.rewards)
