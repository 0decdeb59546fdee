"""One sparse autoencoder in the form that every loader brings its file to.

    features = activation((normalise(centre(stream)) - input_bias) @ W_enc + b_enc)
    stream'  = scale * (features @ W_dec + b_dec) + offset

Decoding is linear in the features; what a file does otherwise (decoder-norm rescaling, unscaled
biases, fixed input scales) its loader folds into the weights.  What depends on the token is
carried from encoding into decoding as ``scale`` and ``offset`` and stays frozen when features
are ablated: it belongs to the stream that was read, not to the features.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from pm_audit.errors import SaeError
from pm_audit.subject.activation import Activation


class Normalisation(StrEnum):
    """What is done to each token's stream before it is encoded, and undone after decoding."""

    NONE = "none"
    LAYER_NORM = "layer_norm"
    """Centred and divided by the standard deviation over the hidden axis (n - 1)."""
    CONSTANT_NORM = "constant_norm"
    """Scaled so that each token's norm is the square root of the hidden size."""


@dataclass(frozen=True, eq=False)
class Encoding:
    """Features of some tokens, with what else decoding needs."""

    features: Tensor
    """[token latent], at least zero."""
    scale: Tensor
    """[token], factor of the decoder's output; frozen under ablation."""
    offset: Tensor | None
    """[token hidden], added after scaling; frozen under ablation; None if zero."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Sae:
    """A sparse autoencoder on the residual stream after one block.

    Raises:
        SaeError: at construction, if shapes do not fit or a weight is not finite.

    """

    name: str
    layer: int
    """Block whose output is read, counted from 0."""
    architecture: str
    """The file's own name for it: standard, gated, jumprelu, topk, ..."""
    source: str
    """Where it was loaded from."""
    sha256: str
    """Hash of the weights file."""
    W_enc: Tensor
    """[hidden latent]"""
    b_enc: Tensor
    """[latent]"""
    W_dec: Tensor
    """[latent hidden]"""
    b_dec: Tensor
    """[hidden]"""
    activation: Activation
    input_bias: Tensor | None = None
    """[hidden], subtracted before encoding; None if the input is not centred."""
    normalisation: Normalisation = Normalisation.NONE
    centred: bool = False
    """Whether it reads the stream less its mean over the hidden axis, which decoding adds back:
    what TransformerLens makes of a model whose writing weights it centres."""
    epsilon: float = 1e-5
    """Added to the divisor of layer_norm."""
    W_skip: Tensor | None = None
    """[hidden hidden], a linear path around the features (stream @ W_skip joins the offset)."""
    notes: tuple[str, ...] = field(default=())
    """What the loader did to the file's weights, in words, for the record and for `doctor`."""
    index_path: Path | None = None
    """Path of its feature index, if it has one; None for an SAE without a file."""

    def __post_init__(self) -> None:
        self._check_kinds()
        if self.W_dec.ndim != 2:
            raise SaeError(f"{self.source}: W_dec has {self.W_dec.ndim} axes, expected 2")
        latent, hidden = self.W_dec.shape
        self._check("W_dec", self.W_dec, (latent, hidden))
        self._check("W_enc", self.W_enc, (hidden, latent))
        self._check("b_enc", self.b_enc, (latent,))
        self._check("b_dec", self.b_dec, (hidden,))
        self._check("input_bias", self.input_bias, (hidden,))
        self._check("W_skip", self.W_skip, (hidden, hidden))
        for key, tensor in self.activation.tensors().items():
            self._check(key, tensor, (latent,) if tensor.ndim else ())

    def __repr__(self) -> str:
        return (
            f"Sae({self.name!r}, layer={self.layer}, architecture={self.architecture!r}, "
            f"latents={self.width}, hidden_size={self.hidden_size}, source={self.source!r})"
        )

    def _check_kinds(self) -> None:
        """Refuse fields of another type, such as weights of numpy."""
        needed = {name: getattr(self, name) for name in ("W_dec", "W_enc", "b_enc", "b_dec")}
        optional = {"input_bias": self.input_bias, "W_skip": self.W_skip}
        weights = needed | {name: one for name, one in optional.items() if one is not None}
        for key, one in weights.items():
            if not isinstance(one, Tensor):
                kind = type(one).__name__
                raise SaeError(f"{self.source}: {key} is of type {kind}, expected a tensor")
        kinds = {"activation": Activation, "normalisation": Normalisation, "name": str}
        for key, expected in kinds.items():
            if not isinstance(value := getattr(self, key), expected):
                raise SaeError(
                    f"{self.source}: {key} is of type {type(value).__name__}, expected "
                    f"{expected.__name__}"
                )

    def _check(self, key: str, tensor: Tensor | None, shape: tuple[int, ...]) -> None:
        if tensor is None:
            return
        if tuple(tensor.shape) != shape:
            raise SaeError(
                f"{self.source}: {key} has shape {list(tensor.shape)}, expected {list(shape)} "
                f"for {self.width} latents of width {self.hidden_size}; "
                "check the file's config against its weights"
            )
        if not tensor.is_floating_point() or tensor.itemsize < 2:
            raise SaeError(
                f"{self.source}: {key} is stored as {str(tensor.dtype).removeprefix('torch.')}, "
                "expected floats of 16 bits or more; use the SAE that it was made from"
            )
        if not bool(torch.isfinite(tensor).all()):
            raise SaeError(
                f"{self.source}: {key} holds NaN or infinite weights; "
                "fetch the file again or use another SAE"
            )

    @property
    def width(self) -> int:
        """Number of latents."""
        return self.W_dec.shape[0]

    @property
    def hidden_size(self) -> int:
        """Width of the residual stream."""
        return self.W_dec.shape[1]

    def encode(self, stream: Tensor) -> Encoding:
        """Encode the residual stream [token hidden] at each token."""
        normalised, scale, offset = self._normalise(stream)
        features = self.activation(self._centre(normalised) @ self.W_enc + self.b_enc)
        return Encoding(features, scale, offset)

    def encode_selected(self, stream: Tensor, indices: Tensor) -> Encoding:
        """Encode only the latents ``indices`` [selected] of the stream [token hidden].

        Its features are [token selected], equal to ``encode(stream).features[:, indices]``.  If
        latents compete (topk, groupmax) all of them are encoded.
        """
        if not self.activation.elementwise:
            encoding = self.encode(stream)
            return replace(encoding, features=encoding.features[:, indices])
        normalised, scale, offset = self._normalise(stream)
        pre = self._centre(normalised) @ self.W_enc[:, indices] + self.b_enc[indices]
        return Encoding(self.activation.select(indices)(pre), scale, offset)

    def decode(self, encoding: Encoding) -> Tensor:
        """Return the reconstructed stream [token hidden]; affine in the features."""
        decoded = encoding.scale[:, None] * (encoding.features @ self.W_dec + self.b_dec)
        return decoded if encoding.offset is None else decoded + encoding.offset

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Self:
        """Return the same SAE with its weights on another device or in another dtype."""
        names = ("W_enc", "b_enc", "W_dec", "b_dec", "input_bias", "W_skip")
        present = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        moved = {name: one.to(device=device, dtype=dtype) for name, one in present.items()}
        return replace(self, activation=self.activation.to(device, dtype), **moved)

    def _centre(self, stream: Tensor) -> Tensor:
        return stream if self.input_bias is None else stream - self.input_bias

    def _normalise(self, stream: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the normalised stream, the scale that undoes it, and the offset, or None."""
        skipped = None if self.W_skip is None else stream @ self.W_skip
        scale = torch.ones(stream.shape[0], dtype=stream.dtype, device=stream.device)
        offset = skipped
        if self.centred or self.normalisation is Normalisation.LAYER_NORM:
            mean = stream.mean(dim=-1, keepdim=True)
            stream, mean = stream - mean, mean.expand_as(stream)
            offset = mean if skipped is None else mean + skipped
        match self.normalisation:
            case Normalisation.NONE:
                return stream, scale, offset
            case Normalisation.CONSTANT_NORM:
                scale = stream.norm(dim=-1) / self.hidden_size**0.5
                return stream / scale[:, None], scale, offset
            case Normalisation.LAYER_NORM:
                scale = stream.std(dim=-1)
                return stream / (scale[:, None] + self.epsilon), scale, offset
