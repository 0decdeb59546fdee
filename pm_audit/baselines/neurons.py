"""Single neurons: the coordinates of the stream that the gap's gradient names.

A coordinate j is scored by the first-order effect of setting it to the counter-examples' mean,
``sum over tokens of (x_j - m_j) dr/dx_j``, weighed as the gap weighs rewards.  The best are then
grown into a set by joint ablation, as features are: neurons picked by gradient alone overshoot.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pm_audit.attribution.integrated_gradients import mean_gradient
from pm_audit.baselines.baseline import Baseline
from pm_audit.baselines.discovery import Discovery
from pm_audit.baselines.subspace import ablate_subspace
from pm_audit.forward.contrast import Floats
from pm_audit.forward.grid import Integers
from pm_audit.forward.splice import completion_jobs
from pm_audit.interventions.growth import Members, grow
from pm_audit.interventions.objective import Objective

TRIALS = 4
"""Coordinates tried jointly at each step."""

CANDIDATES = 32
"""Coordinates that the gradient proposes."""

PENALTY = 1.0
"""Weight of the collateral, as it is for features by default."""


def neurons(discovery: Discovery, most: int) -> Tensor:
    """Return the grown set's coordinates as unit vectors [direction hidden]."""
    trace = discovery.trace
    unit = torch.eye(trace.streams[discovery.layer].shape[1], device=trace.device)
    if discovery.gap == 0:
        return unit[:0]
    experiment, prompts = discovery.experiment, discovery.prompts
    sees = experiment.contrast.of_prompts(prompts)
    objective = Objective.of(experiment, prompts, sees, penalty=PENALTY)
    effects = _effects(discovery, objective.rows)
    score = np.sign(discovery.gap) * (objective.weights @ effects)
    best = np.argsort(-score, kind="stable")[:CANDIDATES]
    best = best[score[best] > 0]

    def replay(sets: Sequence[Members], at: Integers) -> Floats:
        spans = [unit[best[list(members)].tolist()] for members in sets]
        layer, centre, rows = discovery.layer, discovery.centre, objective.rows[at]
        return np.stack(
            [ablate_subspace(trace, layer, span, centre=centre, rows=rows) for span in spans]
        )

    grown = grow(objective, effects.T[best], replay, most=most, trials=TRIALS)
    return unit[best[list(grown.selected)].tolist()]


def _effects(discovery: Discovery, rows: Integers) -> Floats:
    """Return the effect that gradients predict for each coordinate, [row hidden]."""
    trace = discovery.trace
    gradient = mean_gradient(trace, discovery.sae, completion_jobs(trace, rows), [0.0])
    by_token = (trace.streams[discovery.layer].float() - discovery.centre) * gradient
    row = torch.from_numpy(trace.row_of_token()).to(by_token.device)
    by_row = by_token.new_zeros(len(trace.grid), by_token.shape[1]).index_add_(0, row, by_token)
    return np.asarray(by_row.double().cpu().numpy()[rows])


NEURONS = Baseline("neurons", neurons)
