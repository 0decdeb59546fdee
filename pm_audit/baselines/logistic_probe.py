"""Linear probes by logistic regression, one after the other: iterative nullspace projection.

A ridge-penalised logistic regression separates examples from counter-examples by mean streams;
its normal is a direction; the direction is projected out and the next probe is fitted on what is
left (Ravfogel et al. 2020, arXiv 2004.07667).
"""

from __future__ import annotations

import torch
from torch import Tensor

from pm_audit.baselines.baseline import Baseline
from pm_audit.baselines.discovery import Discovery, orthonormal
from pm_audit.records import Role

RIDGE = 1e-2
"""Weight of the squared norm against the mean log loss, on streams of unit spread."""

_NEWTON_STEPS = 25


def logistic_probe(discovery: Discovery, most: int) -> Tensor:
    """Return the probes' normals [direction hidden], orthonormal, first probe first."""
    states, labels = labelled(discovery)
    found: list[Tensor] = []
    for _ in range(most):
        normal = fit_logistic(states, labels)
        if not float(normal.norm()) > 1e-6:
            break
        direction = normal / normal.norm()
        found.append(direction)
        states = states - (states @ direction)[:, None] * direction
    if not found:
        return torch.zeros(0, states.shape[1])
    return orthonormal(torch.stack(found), most=most)


def labelled(discovery: Discovery) -> tuple[Tensor, Tensor]:
    """Return centred states [row hidden] of unit spread, and labels [row], 1 for an example."""
    examples = discovery.rows(Role.EXAMPLE)
    counters = discovery.rows(Role.COUNTER_EXAMPLE)
    states = torch.cat([discovery.row_means[examples], discovery.row_means[counters]])
    states = states - states.mean(dim=0)
    spread = states.square().sum(dim=1).mean().sqrt().clamp_min(1e-12)
    labels = torch.cat([torch.ones(len(examples)), torch.zeros(len(counters))])
    return states / spread, labels.to(states)


def fit_logistic(states: Tensor, labels: Tensor) -> Tensor:
    """Return the normal [hidden] of a ridge logistic regression with intercept, classes balanced.

    Newton's method in the span of the rows, where the solution lies.
    """
    left, spread, axes = torch.linalg.svd(states, full_matrices=False)
    inputs = torch.cat([left * spread, torch.ones_like(labels)[:, None]], dim=1)
    share = labels.mean()
    weight = torch.where(labels > 0, 0.5 / share, 0.5 / (1 - share)) / len(labels)
    penalty = torch.full((inputs.shape[1],), RIDGE).to(states)
    penalty[-1] = 0.0
    solution = inputs.new_zeros(inputs.shape[1])
    for _ in range(_NEWTON_STEPS):
        chance = torch.sigmoid(inputs @ solution)
        slope = inputs.T @ (weight * (chance - labels)) + penalty * solution
        curvature = weight * chance * (1 - chance)
        hessian = (inputs.T * curvature) @ inputs + torch.diag(penalty + 1e-9)
        step = torch.linalg.solve(hessian, slope)
        solution = solution - step / max(1.0, float(step.norm()) / 5.0)
        if float(step.norm()) < 1e-8:
            break
    normal: Tensor = solution[:-1] @ axes
    return normal


LOGISTIC_PROBES = Baseline("logistic probes", logistic_probe)
