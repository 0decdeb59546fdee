"""Fit: whether an SAE belongs to this PM, at this layer, on this text.

FVU is the fraction of variance unexplained with the per-dimension, centred variance; positions
of massive norm are left out and counted, because a few of them would make any SAE look perfect.
An SAE that reconstructs a neighbouring layer better than its own was loaded at the wrong place.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pm_audit.forward.trace import Trace
from pm_audit.records import SaeFit
from pm_audit.subject.kernels.products import wide_products
from pm_audit.subject.sae import Sae

MASSIVE = 10.0
"""A position is massive when its norm exceeds the median norm by this factor."""


def neighbours(sae: Sae, depth: int) -> tuple[int, ...]:
    """Return the blocks before and after the SAE's own that exist, for comparison."""
    return tuple(layer for layer in (sae.layer - 1, sae.layer + 1) if 0 <= layer < depth)


@torch.no_grad()
@wide_products()
def measure_fit(trace: Trace, sae: Sae, *, most: int | None = None) -> SaeFit:
    """Return one SAE's fit on a trace that kept the streams of its ``neighbours``.

    At most ``most`` tokens are taken, evenly over all completion tokens; all of them for None.
    """
    stream, features = trace.streams[sae.layer], trace.features[sae.name]
    total = len(stream)
    taken = torch.arange(0, total, max(1, -(-total // (most or total or 1))), device=stream.device)
    usual = _usual(stream[taken])
    kept = taken[usual]
    read, reconstruction = stream[kept].to(sae.W_dec.dtype), features.reconstruction[kept]
    counts = torch.bincount(
        features.latent[torch.isin(features.token, kept)], minlength=sae.width
    ).double()
    return SaeFit(
        sae=sae.name,
        layer=sae.layer,
        fvu=fraction_unexplained(read, reconstruction),
        neighbour_fvu=tuple(
            _fvu_elsewhere(sae, trace.streams[layer][taken])
            for layer in neighbours(sae, trace.pm.depth)
        ),
        cosine=float(torch.cosine_similarity(read, reconstruction, dim=-1).mean()),
        l0=float(counts.sum()) / len(kept),
        dead_share=float((counts == 0).double().mean()),
        massive=int((~usual).sum()),
        tokens=len(taken),
    )


def fraction_unexplained(stream: Tensor, reconstruction: Tensor) -> float:
    """Return FVU of [token hidden]: squared error over squared distance to the mean."""
    centred = stream.double() - stream.double().mean(dim=0)
    error = stream.double() - reconstruction.double()
    return float(error.square().sum() / centred.square().sum().clamp_min(1e-30))


def _usual(stream: Tensor) -> Tensor:
    norms = stream.float().norm(dim=-1)
    usual: Tensor = norms < MASSIVE * norms.median()
    return usual


def _fvu_elsewhere(sae: Sae, stream: Tensor) -> float:
    kept = stream[_usual(stream)].to(sae.W_dec.dtype)
    return fraction_unexplained(kept, sae.decode(sae.encode(kept)))
