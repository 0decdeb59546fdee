"""A lasting edit of the stream after one block: some of an SAE's features at fixed levels.

    x' = x + scale (level - feature) @ decoder rows        at every token of a completion

The error term and prompts stay.  A PM that carries edits reads every text through them; its rewards
are those of the ablation that puts the same features at the same levels.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pm_audit.errors import SaeError
from pm_audit.subject.sae import Sae


@dataclass(frozen=True, eq=False, kw_only=True)
class StreamEdit:
    """Features of one SAE at levels.

    Raises:
        SaeError: at construction, if shapes do not fit or a latent is outside the SAE.

    """

    sae: Sae
    latents: Tensor
    """[selected], int64."""
    level: Tensor
    """[place selected], in the unit of features; place 0 is the completion's own tokens, the others
    those that the format writes after it, counted from the end; further places take the last."""

    def __post_init__(self) -> None:
        shape, count = tuple(self.level.shape), len(self.latents)
        if self.level.ndim != 2 or not shape[0] or shape[1] != count:
            raise SaeError(f"levels have shape {list(shape)}, expected a row of {count} a place")
        outside = self.latents[(self.latents < 0) | (self.latents >= self.sae.width)]
        if len(outside) or not count:
            named = f"feature {int(outside[0])}" if len(outside) else "no feature"
            raise SaeError(f"an edit of {named}: {self.sae.name} has 0 to {self.sae.width - 1}")
        if not bool(torch.isfinite(self.level).all()):
            raise SaeError("a level of the edit is not finite; export the repair again")

    @property
    def layer(self) -> int:
        """Block after which the stream is edited."""
        return self.sae.layer

    @property
    def sha256(self) -> str:
        """Hash of the SAE's decoder rows, the latents and their levels."""
        parts = (self.sae.W_dec[self.latents], self.latents, self.level)
        numbers = (part.detach().double().cpu().numpy().tobytes() for part in parts)
        return hashlib.sha256(b"\0".join([*numbers, str(self.layer).encode()])).hexdigest()

    def __call__(self, stream: Tensor, place: Tensor) -> Tensor:
        """Return the edited stream [token hidden] of completion tokens at their places [token]."""
        current = stream.to(self.sae.W_dec.dtype)
        encoding = self.sae.encode_selected(current, self.latents)
        level = self.level[place.clamp(max=len(self.level) - 1)]
        change = (level - encoding.features) @ self.sae.W_dec[self.latents]
        return (current + encoding.scale[:, None] * change).to(stream.dtype)

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> StreamEdit:
        """Return the same edit elsewhere."""
        return replace(
            self,
            sae=self.sae.to(device, dtype),
            latents=self.latents.to(device),
            level=self.level.to(device=device, dtype=dtype),
        )
