"""A learned subspace: directions trained by gradient to close the gap and move nothing else.

Distributed alignment search (Geiger et al. 2023, arXiv 2303.02536) in the form that an audit
needs: directions are learned one after the other, with the earlier ones fixed, so that the subspace
so far, set to the counter-examples' mean, closes the gap of the discovery prompts and leaves
counter-examples and controls unchanged:

    loss = mean_p (gap after / G)^2 + mean over other completions of (movement / G)^2

Learning ends with the first direction that does not lower the loss over all discovery prompts.
A baseline with the reward's own gradient at hand: it bounds what any set of directions could do.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pm_audit.baselines.baseline import Baseline
from pm_audit.baselines.discovery import Discovery, orthonormal
from pm_audit.baselines.subspace import ablate_subspace, without
from pm_audit.forward.features import Floats
from pm_audit.forward.grid import Integers
from pm_audit.forward.packing import Batch
from pm_audit.forward.splice import completion_jobs, run_suffix
from pm_audit.records import Role

STEPS = 16
"""Gradient steps for each direction."""

PROMPTS_A_STEP = 6
"""Prompts drawn for a step."""

_RATE = 0.1


def learned_subspace(discovery: Discovery, most: int) -> Tensor:
    """Return learned directions [direction hidden], orthonormal, in the order of learning."""
    if discovery.gap == 0:
        return torch.zeros(0, discovery.row_means.shape[1])
    generator = np.random.default_rng(discovery.seed)
    _, _, axes = torch.linalg.svd(discovery.differences, full_matrices=False)
    starts = torch.cat([discovery.differences.mean(dim=0, keepdim=True), axes])
    kept = torch.zeros(0, starts.shape[1], device=starts.device)
    lowest = _whole_loss(discovery, kept)
    for _ in range(min(most, len(orthonormal(starts, most=most)))):
        start = orthonormal(torch.cat([kept, starts.float()]), most=len(kept) + 1)[-1]
        learned = _learn(discovery, kept, start, generator)
        wider = orthonormal(torch.cat([kept, learned[None]]), most=len(kept) + 1)
        loss = _whole_loss(discovery, wider)
        if not loss < lowest:
            break
        kept, lowest = wider, loss
    return kept


def _whole_loss(discovery: Discovery, directions: Tensor) -> float:
    rows = discovery.rows(Role.EXAMPLE, Role.COUNTER_EXAMPLE, Role.CONTROL)
    after = _after(discovery, directions, rows)
    return float(_loss(discovery, torch.from_numpy(after), rows, list(discovery.prompts)))


def _after(discovery: Discovery, directions: Tensor, rows: Integers) -> Floats:
    """Return rewards [row] of the grid with the subspace ablated in ``rows``."""
    after = discovery.trace.rewards.copy()
    after[rows] = ablate_subspace(
        discovery.trace, discovery.layer, directions, centre=discovery.centre, rows=rows
    )
    return after


def _learn(
    discovery: Discovery, kept: Tensor, start: Tensor, generator: np.random.Generator
) -> Tensor:
    direction = start.clone().requires_grad_()
    optimiser = torch.optim.Adam([direction], lr=_RATE / start.shape[0] ** 0.5)
    count = min(PROMPTS_A_STEP, len(discovery.prompts))
    for _ in range(STEPS):
        prompts = generator.choice(discovery.prompts, count, replace=False).tolist()
        roles = (Role.EXAMPLE, Role.COUNTER_EXAMPLE, Role.CONTROL)
        rows = discovery.rows(*roles, prompts=prompts)
        optimiser.zero_grad()
        _backward(discovery, kept, direction, rows, prompts)
        optimiser.step()
    return direction.detach()


def _backward(
    discovery: Discovery, kept: Tensor, direction: Tensor, rows: Integers, prompts: list[int]
) -> None:
    """Add the loss's gradient to ``direction``, batch by batch.

    The loss joins rewards of different batches, so its slope by each reward is taken first.
    """
    trace, layer, centre = discovery.trace, discovery.layer, discovery.centre
    after = _after(discovery, _joined(kept, direction).detach(), rows)
    rewards = torch.from_numpy(after).requires_grad_()
    with torch.enable_grad():
        loss = _loss(discovery, rewards, rows, prompts)
        (slope,) = torch.autograd.grad(loss, rewards)

    def run(batch: Batch) -> None:
        with torch.enable_grad():
            stream = without(
                trace.streams[layer][batch.completion], _joined(kept, direction), centre
            )
            read = run_suffix(trace, batch, layer, stream)
            torch.autograd.backward((read * slope[torch.from_numpy(batch.row)].to(read)).sum())

    trace.in_batches(completion_jobs(trace, rows), run)


def _joined(kept: Tensor, direction: Tensor) -> Tensor:
    """Return ``kept`` and the part of ``direction`` outside it, orthonormal and differentiable."""
    rest = direction - (direction @ kept.T) @ kept
    return torch.cat([kept, (rest / rest.norm().clamp_min(1e-12))[None]])


def _loss(discovery: Discovery, rewards: Tensor, rows: Integers, prompts: list[int]) -> Tensor:
    contrast = discovery.experiment.contrast
    weights = np.stack([contrast.weights([prompt]) for prompt in prompts])
    gaps = torch.from_numpy(weights) @ rewards
    others = rows[~contrast.has_role(Role.EXAMPLE)[rows]]
    movement = rewards[others] - torch.from_numpy(discovery.trace.rewards[others])
    squares: Tensor = gaps.square().mean() + movement.square().mean()
    return squares / discovery.gap**2


LEARNED_SUBSPACE = Baseline("learned subspace", learned_subspace)
