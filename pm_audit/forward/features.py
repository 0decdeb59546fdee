"""The active features of an SAE over a grid's completion tokens, as triples sorted by token."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from pm_audit.errors import NumericalError
from pm_audit.forward.grid import Integers
from pm_audit.subject.kernels.split_products import split_products
from pm_audit.subject.sae import Sae

Floats = npt.NDArray[np.float64]

_DENSE_ENTRIES = 4_194_304
"""Token x latent entries that are encoded at once before they are made sparse."""

_CUDA_FACTOR = 32
"""Factor on a GPU: every chunk costs a wait for the count of active features."""


@dataclass(frozen=True, eq=False)
class SparseFeatures:
    """The active features of one SAE as triples, sorted by token."""

    sae: Sae
    token: Tensor
    """[active], index into the grid's completion tokens."""
    latent: Tensor
    """[active]"""
    value: Tensor
    """[active], greater than zero."""
    scale: Tensor
    """[completion token], factor of the decoder's output; frozen under ablation."""
    offset: Tensor | None
    """[completion token, hidden] or None: added after scaling; frozen under ablation."""

    @property
    def strength(self) -> Tensor:
        """[active], ``scale * value``: the multiple of the decoder row in the stream."""
        return self.scale[self.token] * self.value

    def without_features(self, tokens: Tensor) -> Tensor:
        """Return what decoding leaves of completion tokens without any feature [token hidden].

        This is the decoder's bias, scaled, plus the frozen offset.
        """
        base = self.scale[tokens, None] * self.sae.b_dec
        return base if self.offset is None else base + self.offset[tokens]

    @functools.cached_property
    def reconstruction(self) -> Tensor:
        """[completion token, hidden], the stream as decoding gives it back."""
        tokens = torch.arange(len(self.scale), device=self.scale.device)
        decoded = summed_rows(self.sae.W_dec, self.latent, self.strength, self.token, len(tokens))
        return self.without_features(tokens) + decoded

    def of(self, latents: Tensor) -> Tensor:
        """Return values [completion token, selected] of latents [selected]."""
        column = torch.full((self.sae.width,), -1, device=latents.device)
        column[latents] = torch.arange(len(latents), device=latents.device)
        at = column[self.latent]
        own = (at >= 0).nonzero()[:, 0]
        values = self.value.new_zeros(len(self.scale), len(latents))
        return values.index_put_((self.token[own], at[own]), self.value[own])

    # Cached: every plan of ablations reads these, and each read waits for the GPU.

    @functools.cached_property
    def token_here(self) -> Integers:
        """[active], ``token`` in the processor's memory."""
        here: Integers = self.token.cpu().numpy()
        return here

    @functools.cached_property
    def latent_here(self) -> Integers:
        """[active], ``latent`` in the processor's memory."""
        here: Integers = self.latent.cpu().numpy()
        return here

    @functools.cached_property
    def strength_here(self) -> Floats:
        """[active], ``strength`` in the processor's memory, as wide as the SAE's weights are."""
        here: Floats = self.strength.cpu().numpy()
        return here

    @functools.cached_property
    def scale_here(self) -> Floats:
        """[completion token], ``scale`` in the processor's memory."""
        here: Floats = self.scale.cpu().numpy()
        return here


def active_features(sae: Sae, stream: Tensor) -> SparseFeatures:
    """Encode a stream [token hidden] a chunk at a time and keep the active features."""
    entries = _DENSE_ENTRIES * (_CUDA_FACTOR if stream.device.type == "cuda" else 1)
    chunk = max(1, entries // sae.width)
    tokens, latents, values, scales, offsets = [], [], [], [], []
    for first in range(0, stream.shape[0], chunk):
        with split_products(stream):
            encoding = sae.encode(stream[first : first + chunk].to(sae.W_dec.dtype))
        token, latent = encoding.features.nonzero(as_tuple=True)
        tokens.append(token + first)
        latents.append(latent)
        values.append(encoding.features[token, latent])
        scales.append(encoding.scale)
        if encoding.offset is not None:
            offsets.append(encoding.offset)
    if not tokens:
        encoding = sae.encode(stream.to(sae.W_dec.dtype))
        nothing = torch.zeros(0, dtype=torch.long, device=stream.device)
        empty = encoding.scale
        return SparseFeatures(sae, nothing, nothing, empty, empty, encoding.offset)
    features = SparseFeatures(
        sae,
        torch.cat(tokens),
        torch.cat(latents),
        torch.cat(values),
        torch.cat(scales),
        torch.cat(offsets) if offsets else None,
    )
    if not bool(torch.isfinite(features.value).all() & torch.isfinite(features.scale).all()):
        raise NumericalError(
            f"SAE {sae.name!r} has features that are not finite on this text; check that it "
            "belongs to this PM, and the PM's dtype"
        )
    return features


def summed_rows(rows: Tensor, chosen: Tensor, weight: Tensor, token: Tensor, tokens: int) -> Tensor:
    """Return weighted sums [token hidden] of the rows [row hidden] that entries choose.

    ``chosen``, ``weight`` and ``token`` are [entry], sorted by token.
    """
    offsets = torch.searchsorted(token, torch.arange(tokens, device=token.device))
    return F.embedding_bag(chosen, rows, offsets, mode="sum", per_sample_weights=weight)
