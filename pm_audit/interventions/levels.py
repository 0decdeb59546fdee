"""Features put at one level in every text: constants by place, the same for all prompts.

A place is where a token stands: 0 for the completion's own tokens, and one place each for the
tokens that the format writes after it (see ``Layout.completion_place``), as in contrast.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pm_audit.forward.grid import Integers
from pm_audit.forward.targets import SaeTargets, Targets
from pm_audit.forward.trace import Trace
from pm_audit.interventions.replacements.means import group_means
from pm_audit.subject.sae import Sae


@dataclass(frozen=True, eq=False)
class SaeLevels:
    """The level of some latents of one SAE."""

    latent: Integers
    """[column], sorted."""
    value: Tensor
    """[place column], in the unit of features; further places take the last."""

    def of(self, latents: Sequence[int]) -> Tensor:
        """Return levels [place selected]; zero for latents that have none."""
        wanted = np.asarray(latents, dtype=np.int64)
        at = np.searchsorted(self.latent, wanted)
        held = np.flatnonzero(at < len(self.latent))
        held = held[self.latent[at[held]] == wanted[held]]
        values = self.value.new_zeros(len(self.value), len(wanted))
        values[:, torch.from_numpy(held)] = self.value[:, torch.from_numpy(at[held])]
        return values


Levels = Mapping[str, SaeLevels]
"""By the SAE's name."""


def mean_levels(trace: Trace, rows: Sequence[int] | Integers | None = None) -> Levels:
    """Return each latent's mean by place over the rows' completions, each of which counts alike."""
    layout, chosen = trace.grid.layout, trace.rows(rows)
    place, row = layout.completion_place, layout.completion_row
    places = int(place.max(initial=0)) + 1
    alike = np.bincount(row * places + place, minlength=len(trace.grid) * places)
    weight = np.where(np.isin(row, chosen), 1 / alike[row * places + place], 0.0)
    found = {sae.name: group_means(trace, sae, place, weight, groups=places) for sae in trace.saes}
    return {name: SaeLevels(one.latent, one.value) for name, one in found.items()}


def zero_levels(saes: Sequence[Sae]) -> Levels:
    """Return zero for every latent."""
    nothing = np.zeros(0, dtype=np.int64)
    return {sae.name: SaeLevels(nothing, sae.W_dec.new_zeros(1, 0)) for sae in saes}


def at_levels(trace: Trace, levels: Levels) -> Targets:
    """Return the levels as what stands in the features' place in a trace."""
    place = trace.grid.layout.completion_place
    return {
        sae.name: SaeTargets(
            np.minimum(place, len(levels[sae.name].value) - 1),
            levels[sae.name].latent,
            levels[sae.name].value,
            sae.W_dec.new_zeros(len(levels[sae.name].value), sae.hidden_size),
        )
        for sae in trace.saes
    }
