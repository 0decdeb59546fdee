"""The contest: every baseline searches a fold's discovery prompts and is tested on the others.

Each gets the SAE's budget of directions and its folds.  With its first 1, 2, ... directions at
the counter-examples' mean, the held-out prompts are read again; the SAE's own features, set to
zero, run through the same test as the first baseline.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from torch import Tensor

from pm_audit.baselines.discovery import Discovery
from pm_audit.baselines.diverse_probes import diverse_probes
from pm_audit.baselines.learned_subspace import learned_subspace
from pm_audit.baselines.logistic_probe import logistic_probe
from pm_audit.baselines.mean_difference import mean_difference
from pm_audit.baselines.neurons import neurons
from pm_audit.baselines.pca import pca_of_differences
from pm_audit.baselines.subspace import ablate_subspace
from pm_audit.forward.contrast import Contrast
from pm_audit.forward.features import Floats
from pm_audit.forward.trace import Trace
from pm_audit.interventions.ablation import ablate_sets
from pm_audit.records import BaselineEvidence, Feature
from pm_audit.subject.preference_model import PreferenceModel

Finder = Callable[..., Tensor]
"""(discovery, most=...) -> directions [direction hidden], orthonormal, best first."""

OWN = "sae features"

BASELINES: Mapping[str, Finder] = {
    "neurons": neurons,
    "pca of differences": pca_of_differences,
    "difference of means": mean_difference,
    "logistic probes": logistic_probe,
    "diverse probes": diverse_probes,
    "learned subspace": learned_subspace,
}

Split = tuple[Sequence[int], Sequence[int]]
"""Discovery prompts, held-out prompts."""


def run_baselines(
    pm: PreferenceModel,
    trace: Trace,
    contrast: Contrast,
    folds: Sequence[Split],
    selected: Sequence[Sequence[Feature]],
    *,
    most: int,
    seed: int,
) -> tuple[BaselineEvidence, ...]:
    """Run every baseline at the block of the trace's first SAE.

    Args:
        pm: the preference model.
        trace: its clean forward.
        contrast: which row is what.
        folds: each prompt held out once.
        selected: features that each fold selected, in the order in which they joined.
        most: directions that each baseline may use.
        seed: of starting points and of drawn prompts.

    """
    curves: dict[str, list[list[Floats]]] = {name: [] for name in (OWN, *BASELINES)}
    tested = [np.flatnonzero(contrast.of_prompts(held_out)) for _, held_out in folds]
    for (discovery_prompts, _), rows, features in zip(folds, tested, selected, strict=True):
        prefixes = [tuple(features[:count]) for count in range(1, len(features[:most]) + 1)]
        curves[OWN].append(list(ablate_sets(pm, trace, prefixes, rows=rows)))
        discovery = Discovery(pm, trace, trace.saes[0], contrast, tuple(discovery_prompts), seed)
        for name, find in BASELINES.items():
            directions = find(discovery, most=most)
            curves[name].append(
                [
                    ablate_subspace(
                        pm,
                        trace,
                        discovery.layer,
                        directions[:count],
                        centre=discovery.centre,
                        rows=rows,
                    )
                    for count in range(1, len(directions) + 1)
                ]
            )
    return tuple(
        BaselineEvidence(name=name, rewards=_joined(trace, tested, curve))
        for name, curve in curves.items()
    )


def _joined(
    trace: Trace, tested: Sequence[np.ndarray], curve: Sequence[Sequence[Floats]]
) -> tuple[tuple[float, ...], ...]:
    """Put the folds' rows together; a fold that found fewer directions stays at its last."""
    rewards = []
    for number in range(max(len(points) for points in curve)):
        row = trace.rewards.copy()
        for rows, points in zip(tested, curve, strict=True):
            if points:
                row[rows] = points[min(number, len(points) - 1)]
        rewards.append(tuple(row.tolist()))
    return tuple(rewards)
