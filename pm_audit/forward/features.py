"""The active features of an SAE over a grid's completion tokens, as triples sorted by token."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

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
        return SparseFeatures(nothing, nothing, empty, empty, encoding.offset)
    features = SparseFeatures(
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


def without_features(sae: Sae, features: SparseFeatures, tokens: Tensor) -> Tensor:
    """Return what decoding leaves of completion tokens without features and error [token hidden].

    This is the decoder's bias, scaled, plus the frozen offset: the end of attribution's path.
    """
    base = features.scale[tokens, None] * sae.b_dec
    return base if features.offset is None else base + features.offset[tokens]
