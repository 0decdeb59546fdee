"""Per-feature integrated gradients: each feature's path is its own removal alone.

Joint paths are not the intervention that verifies a single feature; a feature of large norm
saturates normalisation for itself alone.  Here the path of latent i in a row is
``x(a) = x - a s (f_i - f'_i) d_i``, with ``f'`` its targets, so the value approximates that
ablation (midpoint rule, positive: the feature raises the reward).  It costs several forwards and
backwards instead of the ablation's one forward, and is worth it only for few features: to see
whether a disagreement between attribution and ablation comes from the path or from the gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pm_audit.forward.edits import Changes, Members, plan
from pm_audit.forward.features import Floats
from pm_audit.forward.grid import Integers
from pm_audit.forward.packing import Batch
from pm_audit.forward.splice import run_suffix
from pm_audit.forward.targets import Targets
from pm_audit.forward.trace import Trace
from pm_audit.subject.sae import Sae


@dataclass(frozen=True, eq=False)
class PerFeatureAttributions:
    """Per-feature path attributions; (latent, row) pairs not listed are zero."""

    latent: Integers
    """[pair]"""
    row: Integers
    """[pair], row of the grid."""
    value: Floats
    """[pair], approximates reward minus reward with the latent ablated in the row."""


def attribute_per_feature(
    trace: Trace,
    sae: Sae,
    latents: Sequence[int] | Integers,
    *,
    steps: int = 4,
    rows: Sequence[int] | Integers | None = None,
    targets: Targets | None = None,
) -> PerFeatureAttributions:
    """Return the attribution of each latent along the path of its own replacement.

    ``latents`` are few, each at most once (see ``large_norm_latents``); ``steps`` are midpoints of
    the path; ``rows`` are all rows for None; ``targets`` stand in the features' place, zero for
    None.

    Raises:
        SaeError: the SAE is not part of the trace, or a latent is outside it.

    """
    sae = trace.sae(sae.name)
    chosen = np.asarray(latents, dtype=np.int64)
    members = Members(sae, np.arange(len(chosen)), chosen)
    removal = plan(trace, [Changes.of(trace, members, trace.rows(rows), targets)])
    pairs = len(removal.jobs)
    shares = (np.arange(steps) + 0.5) / steps
    jobs = removal.jobs.take(np.tile(np.arange(pairs), steps))
    value = np.zeros(pairs)
    remove = removal.edits.get(sae.layer)

    def run(batch: Batch) -> None:
        assert remove is not None
        step, pair = np.divmod(batch.jobs, pairs)
        planned = Batch(**{**vars(batch), "jobs": pair})
        stream = trace.streams[sae.layer][batch.completion]
        removed = stream - remove(planned, stream)
        share = torch.from_numpy(shares[step]).to(stream.device, stream.dtype)
        point = stream - share[batch.job_of][:, None] * removed
        with torch.enable_grad():
            leaf = point.detach().requires_grad_()
            rewards = run_suffix(trace, batch, sae.layer, leaf)
            (gradient,) = torch.autograd.grad(rewards.sum(), leaf)
        by_token = (removed.float() * gradient.float()).sum(-1).double()
        by_job = by_token.new_zeros(len(batch.jobs)).index_add_(0, batch.job_of, by_token)
        np.add.at(value, pair, by_job.cpu().numpy() / steps)

    if pairs:
        trace.in_batches(jobs, run)
    return PerFeatureAttributions(chosen[removal.set_of], removal.jobs.row, value)


def large_norm_latents(trace: Trace, sae: Sae, *, most: int) -> Integers:
    """Return the active latents whose largest share of their token's stream norm is greatest.

    These are the ones for which a gradient at the clean stream misleads most.
    """
    features = trace.features[trace.sae(sae.name).name]
    stream_norm = trace.streams[sae.layer].float().norm(dim=-1)
    size = features.strength.float() * sae.W_dec.float().norm(dim=-1)[features.latent]
    share = size / stream_norm[features.token]
    largest = torch.zeros(sae.width, device=share.device)
    largest.scatter_reduce_(0, features.latent, share, reduce="amax")
    order = largest.argsort(descending=True, stable=True)[:most]
    found: Integers = order[largest[order] > 0].cpu().numpy()
    return found
