"""Attribution: what each feature seems to do to the reward, from gradients.

AtP (attribution patching, 2403.00745) of feature i at token t is ``s_t f_ti <d_i, dr/dx_t>``, with
``s_t`` the SAE's per-token scale and ``d_i`` its decoder row.  Integrated gradients (1703.01365)
puts the mean gradient along a path in the gradient's place.  The path leads, at all completion
tokens at once, from the stream as it is to the stream without features and without error term
(the decoder's bias alone): ``x(a) = x - a (decoded features + error)``, ``a`` from 0 to 1, sampled
at the midpoints of equal steps.  The error term is a node of its own.

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
from torch import Tensor

from pm_audit.errors import NumericalError
from pm_audit.forward.features import Floats, SparseFeatures, without_features
from pm_audit.forward.grid import Integers
from pm_audit.forward.packing import Batch, Jobs
from pm_audit.forward.splice import completion_jobs, run_suffix
from pm_audit.forward.trace import Trace, finite_rewards
from pm_audit.subject.preference_model import Readout
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
    """Averaged along the path from all features on to all off."""


@dataclass(frozen=True, eq=False)
class Attributions:
    """Attributions of every active (token, latent), with their error measured."""

    token: Integers
    """[active], index into the grid's completion tokens."""
    row: Integers
    """[active], row of the grid."""
    latent: Integers
    """[active]"""
    value: Floats
    """[active], in raw reward; positive: the feature raises the reward."""
    rows: Integers
    """[row], rows of the grid that were attributed; the fields below follow this order."""
    error: Floats
    """[row], attribution of the SAE's error term, summed over tokens."""
    change: Floats
    """[row], true change: reward minus reward with features and error term off."""
    completeness_gap: Floats
    """[row], sum of all attributions, error term included, minus the true change."""


def attribute(
    trace: Trace,
    sae: Sae,
    *,
    method: Method = Method.INTEGRATED_GRADIENTS,
    steps: int = 4,
    rows: Sequence[int] | Integers | None = None,
    change: Floats | None = None,
) -> Attributions:
    """Attribute the reward to every active feature at every completion token.

    Args:
        trace: the clean forward, with ``sae``; the steps of a row are jobs of their own.
        sae: whose features are attributed.
        method: where the gradient is taken.
        steps: points of the path; AtP always takes one.
        rows: rows of the grid; all for None.
        change: [row], the true change, if an attribution of the same rows has found it.

    Raises:
        SaeError: the SAE is not part of the trace.
        NumericalError: a gradient or reward is not finite.

    """
    sae = trace.sae(sae.name)
    features = trace.features[sae.name]
    all_rows = trace.rows(rows)
    shares = [0.0] if method is Method.ATP else [(step + 0.5) / steps for step in range(steps)]
    jobs = completion_jobs(trace, all_rows)
    gradient = mean_gradient(trace, sae, jobs, shares)

    token, latent, value = attributed_at(trace, sae, gradient, jobs.row)
    row = trace.row_of_token()[token]
    summed = np.zeros(len(trace.grid))
    np.add.at(summed, row, value)
    whole = _whole_path(trace, sae, features, gradient)
    # Rows without completion tokens have no path: everything about them is zero.
    changes = np.zeros(len(trace.grid))
    if change is None:
        changes[jobs.row] = trace.rewards[jobs.row] - _bare_rewards(trace, sae, jobs)
    else:
        changes[all_rows] = change
    return Attributions(
        token=token,
        row=row,
        latent=latent,
        value=value,
        rows=all_rows,
        error=(whole - summed)[all_rows],
        change=changes[all_rows],
        completeness_gap=(whole - changes)[all_rows],
    )


def mean_gradient(
    trace: Trace, sae: Sae, jobs: Jobs, shares: Sequence[float], *, dropped: int | None = None
) -> Tensor:
    """Return dr/dx [completion token, hidden], averaged over points of the path.

    ``jobs`` start where completions do; ``shares`` say how much of the SAE's features and error is
    removed at each point, 0 to 1; block ``dropped`` takes no gradient (see ``grad_drop``).
    """
    features = trace.features[sae.name]
    stream = trace.streams[sae.layer]
    total = torch.zeros_like(stream, dtype=torch.float32)
    repeated = jobs.take(np.tile(np.arange(len(jobs)), len(shares)))
    share = np.repeat(np.asarray(shares), len(jobs))

    def run(batch: Batch) -> None:
        clean = stream[batch.completion]
        removed = torch.from_numpy(share[batch.jobs]).to(clean.device, clean.dtype)
        if any(shares):
            rest = without_features(sae, features, batch.completion).to(clean.dtype)
            clean = torch.lerp(clean, rest, removed[batch.job_of][:, None])
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


def _bare_rewards(trace: Trace, sae: Sae, jobs: Jobs) -> Floats:
    """Return rewards [job] at the end of the path.

    Without per-token scales the stream ends the same at every token, so rows of one prompt differ
    in length alone: the longest is run and read where each of them ends.
    """
    features = trace.features[sae.name]
    # A mean reads every token, so that no row of it is the beginning of another.
    reads_last = trace.pm.readout is Readout.LAST
    alike = reads_last and features.offset is None and bool((features.scale == 1).all())
    leader = _longest_of_prompt(trace, jobs) if alike else np.arange(len(jobs))
    leaders, follows = np.unique(leader, return_inverse=True)
    behind = jobs.stop[leader] - jobs.stop
    rewards = np.zeros(len(jobs))

    def run(batch: Batch) -> None:
        bare = without_features(sae, features, batch.completion)
        bare = bare.to(trace.streams[sae.layer].dtype)
        led = [np.flatnonzero(follows == job) for job in batch.jobs]
        last = np.repeat(batch.last.cpu().numpy(), [len(rows) for rows in led])
        rows = np.concatenate(led)
        at = torch.from_numpy(last - behind[rows]).to(bare.device) if alike else None
        read = run_suffix(trace, batch, sae.layer, bare, at=at)
        rewards[rows] = read.double().cpu().numpy()

    with torch.no_grad():
        trace.in_batches(jobs.take(leaders), run)
    return finite_rewards(rewards)


def _longest_of_prompt(trace: Trace, jobs: Jobs) -> Integers:
    """Return, for each job, the longest job whose tokens before the completion are the same."""
    longest: dict[tuple[int, tuple[int, ...]], int] = {}
    keys = []
    for job, (row, start) in enumerate(zip(jobs.row.tolist(), jobs.start.tolist(), strict=True)):
        one = trace.grid.rows[row]
        key = (one.prompt, one.token_ids[:start])
        keys.append(key)
        if key not in longest or jobs.stop[job] > jobs.stop[longest[key]]:
            longest[key] = job
    return np.array([longest[key] for key in keys], dtype=np.int64)


def attributed_at(
    trace: Trace, sae: Sae, gradient: Tensor, rows: Integers
) -> tuple[Integers, Integers, Floats]:
    """Return (token, latent, strength times <decoder row, gradient>) of the rows' active features.

    ``gradient`` is [completion token, hidden].
    """
    features = trace.features[sae.name]
    chosen = torch.from_numpy(np.isin(trace.row_of_token(), rows)).to(gradient.device)
    kept = chosen[features.token].nonzero()[:, 0]
    token, latent = features.token[kept], features.latent[kept]
    products = _products(sae, gradient.to(sae.W_dec.dtype), token, latent)
    value = (features.strength[kept] * products).double()
    return token.cpu().numpy(), latent.cpu().numpy(), value.cpu().numpy()


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


def _whole_path(trace: Trace, sae: Sae, features: SparseFeatures, gradient: Tensor) -> Floats:
    """Return <gradient, decoded features + error> summed over each row's tokens [row]."""
    everything = torch.arange(gradient.shape[0], device=gradient.device)
    path = trace.streams[sae.layer].float() - without_features(sae, features, everything).float()
    by_token = (path * gradient).sum(-1).double().cpu().numpy()
    by_row = np.zeros(len(trace.grid))
    np.add.at(by_row, trace.row_of_token(), by_token)
    return by_row
