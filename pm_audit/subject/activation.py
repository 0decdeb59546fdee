"""What turns an SAE's pre-activations into features: one small frozen class for each kind.

ReLU (2309.08600), JumpReLU (2407.14435), TopK (2406.04093), BatchTopK at inference (2412.06410,
a JumpReLU with one threshold), GroupMax, and Gated (2404.16014).

An activation is elementwise when each latent's feature depends on its own pre-activation alone;
only then can a few latents be encoded without the others.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace
from typing import ClassVar, Self

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Activation(ABC):
    """Base of the activations; tensors held by a subclass are all shaped [latent]."""

    elementwise: ClassVar[bool] = True

    @abstractmethod
    def __call__(self, pre: Tensor) -> Tensor:
        """Map pre-activations [token latent] to features [token latent], all at least zero."""

    def select(self, indices: Tensor) -> Self:
        """Keep the latents named by ``indices`` [selected]; only for elementwise activations."""
        return replace(
            self,
            **{name: tensor[indices] for name, tensor in self.tensors().items() if tensor.ndim},
        )

    def to(self, device: torch.device | str | None, dtype: torch.dtype | None) -> Self:
        """Return the same activation with its tensors on another device or in another dtype."""
        moved = {
            name: tensor.to(device=device, dtype=dtype) for name, tensor in self.tensors().items()
        }
        return replace(self, **moved)

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors that this activation holds, by field name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Tensor)}


@dataclass(frozen=True, eq=False)
class Relu(Activation):
    """Features are the positive part of the pre-activations."""

    def __call__(self, pre: Tensor) -> Tensor:
        """Map pre-activations [token latent] to features [token latent]."""
        return torch.relu(pre)


@dataclass(frozen=True, eq=False)
class JumpRelu(Activation):
    """A latent fires with its whole pre-activation once this exceeds its threshold."""

    threshold: Tensor
    """[latent], or a scalar shared by all (BatchTopK's inference threshold)."""

    def __call__(self, pre: Tensor) -> Tensor:
        """Map pre-activations [token latent] to features [token latent]."""
        return torch.relu(pre) * (pre > self.threshold)


@dataclass(frozen=True, eq=False)
class Gated(Activation):
    """A gate decides whether a latent fires, a rescaled path says by how much."""

    gate_bias: Tensor
    """[latent]"""
    log_magnitude: Tensor
    """[latent], r_mag of the paper: the magnitude path scales by its exponential."""
    magnitude_bias: Tensor
    """[latent]"""

    def __call__(self, pre: Tensor) -> Tensor:
        """Map pre-activations [token latent] to features [token latent]."""
        gate = pre + self.gate_bias > 0
        return gate * torch.relu(pre * self.log_magnitude.exp() + self.magnitude_bias)


@dataclass(frozen=True, eq=False)
class TopK(Activation):
    """The k largest pre-activations of a token fire, if positive."""

    elementwise: ClassVar[bool] = False
    k: int

    def __call__(self, pre: Tensor) -> Tensor:
        """Map pre-activations [token latent] to features [token latent]."""
        top = pre.topk(min(self.k, pre.shape[-1]), dim=-1, sorted=False)
        return torch.zeros_like(pre).scatter(-1, top.indices, torch.relu(top.values))


@dataclass(frozen=True, eq=False)
class GroupMax(Activation):
    """Of each of k consecutive groups of latents the largest fires, if positive."""

    elementwise: ClassVar[bool] = False
    k: int

    def __call__(self, pre: Tensor) -> Tensor:
        """Map pre-activations [token latent] to features [token latent]."""
        groups = pre.reshape(*pre.shape[:-1], self.k, -1)
        top = groups.max(dim=-1, keepdim=True)
        chosen = torch.zeros_like(groups).scatter(-1, top.indices, torch.relu(top.values))
        return chosen.flatten(-2)
