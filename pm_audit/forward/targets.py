"""What stands in the place of features: a value for each latent, by completion token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


class FeatureTargets(Protocol):
    """What stands in the place of one SAE's features."""

    def at(self, token: Tensor, latent: Tensor) -> Tensor:
        """Return values [token selected] of latents [selected] at completion tokens [token]."""


Targets = Mapping[str, FeatureTargets]
"""By the SAE's name."""


@dataclass(frozen=True, eq=False)
class ConstantTargets:
    """The same values at every token."""

    value: Tensor
    """[latent]"""

    def at(self, token: Tensor, latent: Tensor) -> Tensor:
        """Return values [token selected] of latents [selected] at completion tokens [token]."""
        return self.value[latent].expand(len(token), -1)
