"""Contestant ``pm_audit``: the engine as an audit uses it, from the tokens on in every job."""

from __future__ import annotations

import numpy as np

from benchmarks.engine.workload import STEPS, Workload
from pm_audit.attribution.integrated_gradients import attribute
from pm_audit.forward.trace import rewards, trace
from pm_audit.interventions.ablation import ablate_each


class PackedContestant:
    """Packed replays from the SAE's block."""

    def __init__(self, work: Workload) -> None:
        self.work = work

    def rewards(self) -> np.ndarray:
        """Return rewards [row]."""
        return rewards(self.work.pm, self.work.grid)

    def attributions(self) -> np.ndarray:
        """Return IG at every active (token, latent), [active]."""
        clean = trace(self.work.pm, [self.work.sae], self.work.grid)
        return attribute(clean, self.work.sae, steps=STEPS).value

    def ablations(self, latents: np.ndarray) -> np.ndarray:
        """Return contributions [latent row]."""
        clean = trace(self.work.pm, [self.work.sae], self.work.grid)
        effects = ablate_each(clean, self.work.sae, latents)
        return effects.dense(latents, np.arange(len(self.work.grid)))
