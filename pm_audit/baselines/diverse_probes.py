"""Several linear probes in different directions: a concept may be written in several.

All of them are trained together to separate examples from counter-examples, with a penalty on the
squared cosines between them, so that they come to read near-orthogonal directions.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, normalize

from pm_audit.baselines.baseline import Baseline
from pm_audit.baselines.discovery import Discovery, orthonormal
from pm_audit.baselines.logistic_probe import RIDGE, labelled

DIVERSITY = 1.0
"""Weight of the mean squared cosine between two probes against a probe's mean log loss."""

_STEPS = 200


def diverse_probes(discovery: Discovery, most: int) -> Tensor:
    """Return the probes' directions [direction hidden], orthonormal, best probe first."""
    states, labels = labelled(discovery)
    generator = torch.Generator().manual_seed(discovery.seed)
    start = torch.randn(most, states.shape[1], generator=generator, dtype=states.dtype)
    balance = (1 - labels).sum() / labels.sum()
    with torch.enable_grad():
        probes = (start.to(states) * 0.1 / states.shape[1] ** 0.5).requires_grad_()
        bias = torch.zeros(most).to(states).requires_grad_()
        optimiser = torch.optim.Adam([probes, bias], lr=0.05)
        targets = labels.expand(most, -1)
        for _ in range(_STEPS):
            losses = binary_cross_entropy_with_logits(
                probes @ states.T + bias[:, None], targets, pos_weight=balance, reduction="none"
            ).mean(dim=1)
            cosines = normalize(probes, dim=1) @ normalize(probes, dim=1).T
            alike = (cosines - torch.eye(most).to(cosines)).square().sum() / max(1, most - 1)
            penalty = DIVERSITY * alike + 0.5 * RIDGE * probes.square().sum()
            optimiser.zero_grad()
            (losses.sum() + penalty).backward()
            optimiser.step()
    order = losses.detach().argsort()
    return orthonormal(probes.detach()[order], most=most)


DIVERSE_PROBES = Baseline("diverse probes", diverse_probes)
