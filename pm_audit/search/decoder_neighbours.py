"""Decoder neighbours: latents of one SAE that write nearly the same direction.

A wide SAE may share one concept out among several latents (feature splitting, Bricken et al.
2023, https://transformer-circuits.pub/2023/monosemantic-features), of which a score that ranks
latents one by one may see only the first.  The cosine of decoder rows finds the others.
"""

from __future__ import annotations

import torch

from pm_audit.subject.sae import Sae


def nearest(sae: Sae, latent: int, *, most: int) -> list[tuple[int, float]]:
    """Return up to ``most`` other latents with their cosines, nearest first."""
    decoder = torch.nn.functional.normalize(sae.W_dec.float(), dim=-1)
    cosines = decoder @ decoder[latent]
    cosines[latent] = -1.0
    found = torch.topk(cosines, min(most, len(cosines) - 1))
    return list(zip(found.indices.tolist(), found.values.tolist(), strict=True))
