"""What stands in the place of an SAE's features and of its error term, by groups of tokens.

Tokens of one group have the same targets: a group may be every token, or the tokens of one prompt
at one place of its completions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from pm_audit.forward.features import Floats
from pm_audit.forward.grid import Integers
from pm_audit.subject.sae import Sae


@dataclass(frozen=True, eq=False)
class SaeTargets:
    """The values of one SAE's latents, and its error term, at every completion token."""

    group: Integers
    """[completion token]"""
    latent: Integers
    """[column], the latents that have a target other than zero somewhere, sorted."""
    value: Tensor
    """[group column], in the unit of features."""
    error: Tensor
    """[group hidden]"""

    @classmethod
    def zero(cls, sae: Sae, tokens: int) -> SaeTargets:
        """Return zero for all latents and for the error term at ``tokens`` completion tokens."""
        nothing = sae.W_dec.new_zeros(1, 0)
        error = sae.W_dec.new_zeros(1, sae.hidden_size)
        return cls(np.zeros(tokens, dtype=np.int64), np.zeros(0, dtype=np.int64), nothing, error)

    @cached_property
    def value_here(self) -> Floats:
        """[group column], ``value`` in the processor's memory."""
        here: Floats = self.value.cpu().numpy()
        return here

    def column(self, latent: Integers) -> Integers:
        """Return the column of each latent, or -1."""
        if not len(self.latent):
            return np.full(len(latent), -1)
        at = np.minimum(np.searchsorted(self.latent, latent), len(self.latent) - 1)
        return np.where(self.latent[at] == latent, at, -1)

    def of(self, token: Integers, latent: Integers) -> Floats:
        """Return the values of (token, latent) pairs, elementwise."""
        column = self.column(latent)
        values = np.zeros(len(latent), dtype=self.value_here.dtype)
        held = column >= 0
        values[held] = self.value_here[self.group[token[held]], column[held]]
        return values

    def at(self, token: Tensor, latent: Tensor) -> Tensor:
        """Return values [token selected] of latents [selected] at completion tokens [token]."""
        column = self.column(latent.cpu().numpy())
        held = torch.from_numpy(np.flatnonzero(column >= 0)).to(token.device)
        columns = torch.from_numpy(column[column >= 0]).to(token.device)
        values = self.value.new_zeros(len(self.value), len(latent))
        values[:, held] = self.value[:, columns]
        return values[self.groups_of(token)]

    def decoded(self, sae: Sae) -> Tensor:
        """Return the features' targets decoded, without scale and bias [group hidden]."""
        return self.value @ sae.W_dec[torch.from_numpy(self.latent).to(self.value.device)]

    def groups_of(self, token: Tensor) -> Tensor:
        """Return the group of each completion token, [token]."""
        return self._group.to(token.device)[token]

    @cached_property
    def _group(self) -> Tensor:
        return torch.from_numpy(self.group).to(self.value.device)


Targets = Mapping[str, SaeTargets]
"""By the SAE's name."""
