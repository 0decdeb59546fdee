"""Single neurons: the coordinates of the stream that the gap's gradient names.

A coordinate j is scored by the first-order effect of setting it to the counter-examples' mean,
``sum over tokens of (x_j - m_j) dr/dx_j``, weighed as the gap weighs rewards.  The best are then
grown into a set by joint ablation, as features are: neurons picked by gradient alone overshoot.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pm_audit.attribution.integrated_gradients import mean_gradient
from pm_audit.baselines.baseline import Baseline
from pm_audit.baselines.discovery import Discovery
from pm_audit.baselines.subspace import ablate_subspace
from pm_audit.forward.grid import Integers
from pm_audit.forward.splice import completion_jobs
from pm_audit.interventions.growth import grow
from pm_audit.records import Feature, Role

TRIALS = 4
"""Coordinates tried jointly at each step."""

LEAST_GAIN = 0.01
"""Share of the gap that a further coordinate must close."""

CANDIDATES = 32
"""Coordinates that the gradient proposes."""


def neurons(discovery: Discovery, most: int) -> Tensor:
    """Return the grown set's coordinates as unit vectors [direction hidden]."""
    trace, gap = discovery.trace, discovery.gap
    rows = discovery.rows(Role.EXAMPLE, Role.COUNTER_EXAMPLE)
    unit = torch.eye(trace.streams[discovery.layer].shape[1], device=trace.device)

    def gap_after(sets: Sequence[tuple[Feature, ...]]) -> list[float]:
        spans = [unit[[one.index for one in chosen]] for chosen in sets]
        after = [
            ablate_subspace(trace, discovery.layer, span, centre=discovery.centre, rows=rows)
            for span in spans
        ]
        return [float(discovery.weights[rows] @ rewards) for rewards in after]

    if gap == 0:
        return unit[:0]
    candidates = {
        Feature(sae="neurons", layer=discovery.layer, index=index): gain
        for index, gain in _proposed(discovery, rows).items()
    }
    grown = grow(
        candidates, gap, gap_after, max_features=most, trials=TRIALS, least_gain=LEAST_GAIN
    )
    return unit[[one.index for one in grown.selected]]


def _proposed(discovery: Discovery, rows: Integers) -> dict[int, float]:
    """Return neurons with the gain that their gradients predict, the most promising first."""
    trace = discovery.trace
    gradient = mean_gradient(trace, discovery.sae, completion_jobs(trace, rows), [0.0])
    stream = trace.streams[discovery.layer].float()
    weights = torch.from_numpy(discovery.weights[trace.row_of_token()]).to(stream.device)
    effect = weights.float() @ ((stream - discovery.centre) * gradient)
    score = effect * (1.0 if discovery.gap >= 0 else -1.0)
    best = torch.topk(score, min(CANDIDATES, len(score)))
    found = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return {index: gain for index, gain in found if gain > 0}


NEURONS = Baseline("neurons", neurons)
