"""Attribution: what each feature seems to do to the reward, from gradients.

AtP (attribution patching, 2403.00745) of feature i at token t is
``s_t (f_ti - f'_ti) <d_i, dr/dx_t>``, with ``f'`` what would stand in the feature's place, ``s_t``
the SAE's per-token scale and ``d_i`` its decoder row.  Integrated gradients (1703.01365) puts the
mean gradient along a path in the gradient's place.  The path leads, at all completion tokens at
once, from the stream as it is to the stream with every feature and the error term replaced,
``x(a) = x + a (x' - x)``, ``a`` from 0 to 1, sampled at the midpoints of equal steps: the path of
the ablation that decides.  The error term is a node of its own.

Positive means that the feature raises the reward, as for ablations.  The completeness gap is the
sum over all nodes minus the true change along the path; it is returned with every attribution.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from pm_audit.errors import NumericalError
from pm_audit.forward.edits import targets_of
from pm_audit.forward.features import Floats
from pm_audit.forward.grid import Integers
from pm_audit.forward.packing import Batch, Jobs
from pm_audit.forward.splice import completion_jobs, replay, run_suffix
from pm_audit.forward.targets import SaeTargets, Targets
from pm_audit.forward.trace import Trace
from pm_audit.subject.sae import Sae

QUADRATURE = "midpoint"
"""How the path is sampled: the gradient at the middle of each of the equal steps."""

_DENSE_LATENTS_PER_ACTIVE = 100
"""Up to this ratio one dense product costs less than gathering a decoder row for every pair."""


class Method(StrEnum):
    """How the gradient that multiplies a feature is found."""

    ATP = "atp"
    """At the clean stream."""
    INTEGRATED_GRADIENTS = "integrated_gradients"
    """Averaged along the path from the features as they are to their targets."""


@dataclass(frozen=True, eq=False)
class Attributions:
    """Attributions of every latent that differs from its target, with their error measured."""

    token: Integers
    """[active], index into the grid's completion tokens."""
    row: Integers
    """[active], row of the grid."""
    latent: Integers
    """[active]"""
    value: Floats
    """[active], in raw reward; positive: the feature raises the reward."""
    absent: csr_array
    """[latent row], the same of latents at tokens where they are inactive and their target is not,
    summed over tokens."""
    rows: Integers
    """[row], rows of the grid that were attributed; the fields below follow this order."""
    error: Floats
    """[row], attribution of the SAE's error term, summed over tokens."""
    change: Floats
    """[row], true change: reward minus reward with features and error term replaced."""
    completeness_gap: Floats
    """[row], sum of all attributions, error term included, minus the true change."""

    @property
    def by_row(self) -> csr_array:
        """[latent row], attributions summed over tokens."""
        active = csr_array((self.value, (self.latent, self.row)), shape=self.absent.shape)
        return csr_array(active + self.absent)


def attribute(
    trace: Trace,
    sae: Sae,
    *,
    method: Method = Method.INTEGRATED_GRADIENTS,
    steps: int = 4,
    rows: Sequence[int] | Integers | None = None,
    targets: Targets | None = None,
    change: Floats | None = None,
) -> Attributions:
    """Attribute the reward to every feature at every completion token.

    Args:
        trace: the clean forward, with ``sae``; the steps of a row are jobs of their own.
        sae: whose features are attributed.
        method: where the gradient is taken.
        steps: points of the path; AtP always takes one.
        rows: rows of the grid; all for None.
        targets: what would stand in the place of features and error; None for zero.
        change: [row], the true change, if an attribution of the same rows has found it.

    Raises:
        SaeError: the SAE is not part of the trace.
        NumericalError: a gradient or reward is not finite.

    """
    sae = trace.sae(sae.name)
    own = targets_of(trace, sae, targets)
    all_rows = trace.rows(rows)
    shares = [0.0] if method is Method.ATP else [(step + 0.5) / steps for step in range(steps)]
    jobs = completion_jobs(trace, all_rows)
    end = _end(trace, sae, own)
    gradient = mean_gradient(trace, sae, jobs, shares, end)

    token, latent, value, absent = attributed_at(trace, sae, gradient, jobs.row, own)
    row = trace.row_of_token()[token]
    summed = np.bincount(row, value, minlength=len(trace.grid)) + absent.sum(axis=0)
    by_token = ((trace.streams[sae.layer].float() - end) * gradient).sum(-1).double().cpu().numpy()
    whole = np.bincount(trace.row_of_token(), by_token, minlength=len(trace.grid))
    # Rows without completion tokens have no path: everything about them is zero.
    changes = np.zeros(len(trace.grid))
    if change is None:
        changes[jobs.row] = trace.rewards[jobs.row] - _rewards_at(trace, sae, end, jobs)
    else:
        changes[all_rows] = change
    return Attributions(
        token=token,
        row=row,
        latent=latent,
        value=value,
        absent=absent,
        rows=all_rows,
        error=(whole - summed)[all_rows],
        change=changes[all_rows],
        completeness_gap=(whole - changes)[all_rows],
    )


def mean_gradient(
    trace: Trace,
    sae: Sae,
    jobs: Jobs,
    shares: Sequence[float],
    end: Tensor | None = None,
    *,
    dropped: int | None = None,
) -> Tensor:
    """Return dr/dx [completion token, hidden], averaged over points of the path.

    ``jobs`` start where completions do; ``shares`` say how far each point is on the way to ``end``
    [completion token, hidden], 0 to 1; block ``dropped`` takes no gradient (see ``grad_drop``).
    """
    stream = trace.streams[sae.layer]
    total = torch.zeros_like(stream, dtype=torch.float32)
    repeated = jobs.take(np.tile(np.arange(len(jobs)), len(shares)))
    share = np.repeat(np.asarray(shares), len(jobs))

    def run(batch: Batch) -> None:
        clean = stream[batch.completion]
        if end is not None:
            moved = torch.from_numpy(share[batch.jobs]).to(clean.device, clean.dtype)
            there = end[batch.completion].to(clean.dtype)
            clean = torch.lerp(clean, there, moved[batch.job_of][:, None])
        with torch.enable_grad():
            leaf = clean.detach().requires_grad_()
            rewards = run_suffix(trace, batch, sae.layer, leaf, dropped=dropped)
            (gradient,) = torch.autograd.grad(rewards.sum(), leaf)
        total.index_add_(0, batch.completion, gradient.float(), alpha=1 / len(shares))

    trace.in_batches(repeated, run)
    if not bool(torch.isfinite(total).all()):
        raise NumericalError(
            "gradients of the reward are not finite; check the PM's weights, or use a wider dtype"
        )
    return total


def _end(trace: Trace, sae: Sae, targets: SaeTargets) -> Tensor:
    """Return the end of the path [completion token, hidden]: all features and errors replaced."""
    features = trace.features[sae.name]
    tokens = torch.arange(len(features.scale), device=features.scale.device)
    group = targets.groups_of(tokens)
    decoded = features.scale[:, None] * targets.decoded(sae)[group]
    return features.without_features(tokens) + decoded + targets.error[group]


def _rewards_at(trace: Trace, sae: Sae, end: Tensor, jobs: Jobs) -> Floats:
    """Return rewards [job] at the end of the path."""

    def edit(batch: Batch, stream: Tensor) -> Tensor:
        return end[batch.completion].to(stream.dtype)

    return replay(trace, jobs, {sae.layer: edit})


def attributed_at(
    trace: Trace, sae: Sae, gradient: Tensor, rows: Integers, targets: SaeTargets
) -> tuple[Integers, Integers, Floats, csr_array]:
    """Return (token, latent, value) of the rows' active features, and a table of inactive ones.

    The value is ``scale (feature - target) <decoder row, gradient>``; ``gradient`` is [completion
    token, hidden].  The table [latent row] sums it over the tokens where a latent is inactive.
    """
    features = trace.features[sae.name]
    chosen = torch.from_numpy(np.isin(trace.row_of_token(), rows)).to(gradient.device)
    kept = chosen[features.token].nonzero()[:, 0]
    token, latent = features.token[kept], features.latent[kept]
    gradient = gradient.to(sae.W_dec.dtype)
    products = _products(sae, gradient, token, latent).double().cpu().numpy()
    token_here, latent_here = token.cpu().numpy(), latent.cpu().numpy()
    scale, held = features.scale_here[token_here], targets.of(token_here, latent_here)
    replaced = scale * held * products
    value = features.strength_here[kept.cpu().numpy()] * products - replaced
    shape = (sae.width, len(trace.grid))
    absent = csr_array((replaced, (latent_here, trace.row_of_token()[token_here])), shape=shape)
    return token_here, latent_here, value, absent - _of_targets(trace, sae, gradient, rows, targets)


def _of_targets(
    trace: Trace, sae: Sae, gradient: Tensor, rows: Integers, targets: SaeTargets
) -> csr_array:
    """Return ``scale target <decoder row, gradient>`` summed over tokens, [latent row]."""
    shape = (sae.width, len(trace.grid))
    if not len(targets.latent):
        return csr_array(shape)
    row = trace.row_of_token()
    tokens = np.flatnonzero(np.isin(row, rows))
    # tokens of one row and group share their targets, so their gradients are summed first
    groups = len(targets.value)
    cell, of_token = np.unique(row[tokens] * groups + targets.group[tokens], return_inverse=True)
    row_of_cell, group_of_cell = np.divmod(cell, groups)
    at = torch.from_numpy(tokens).to(gradient.device)
    weighted = gradient[at] * trace.features[sae.name].scale[at, None].to(gradient)
    summed = gradient.new_zeros(len(cell), gradient.shape[1])
    summed.index_add_(0, torch.from_numpy(of_token).to(at.device), weighted)
    decoder = sae.W_dec[torch.from_numpy(targets.latent).to(at.device)]
    group = torch.from_numpy(group_of_cell).to(at.device)
    products = ((summed @ decoder.T) * targets.value[group]).double().cpu().numpy()
    where, column = np.nonzero(products)
    found = (products[where, column], (targets.latent[column], row_of_cell[where]))
    table = csr_array(found, shape=shape)
    table.sum_duplicates()
    return table


def _products(sae: Sae, gradient: Tensor, token: Tensor, latent: Tensor) -> Tensor:
    """Return <decoder row, gradient> [active] for pairs sorted by token."""
    active = max(1, len(token) // max(1, gradient.shape[0]))
    products = gradient.new_zeros(len(token))
    dense = sae.width <= _DENSE_LATENTS_PER_ACTIVE * active
    chunk = max(1, 1_048_576 // sae.width) if dense else max(1, 8192 // active)
    bounds = torch.arange(0, gradient.shape[0] + chunk, chunk, device=token.device)
    edges = torch.searchsorted(token.contiguous(), bounds).tolist()
    for number, (first, after) in enumerate(itertools.pairwise(edges)):
        own = slice(first, after)
        if dense:
            tokens = gradient[number * chunk : (number + 1) * chunk]
            table = tokens @ sae.W_dec.T
            products[own] = table[token[own] - number * chunk, latent[own]]
        else:
            products[own] = (sae.W_dec[latent[own]] * gradient[token[own]]).sum(-1)
    return products
