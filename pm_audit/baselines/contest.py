"""The contest: every baseline searches a fold's discovery prompts and is tested on the others.

Each gets the SAE's budget of directions and its folds.  With its first 1, 2, ... directions at
the counter-examples' mean, the held-out prompts are read again; the SAE's own features, at their
targets, run through the same test as the first baseline.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pm_audit.baselines.baseline import Baseline
from pm_audit.baselines.discovery import Discovery
from pm_audit.baselines.registry import GROUP, SAE_FEATURES, baselines
from pm_audit.baselines.registry import OWN as BUILT_IN
from pm_audit.baselines.subspace import ablate_subspace
from pm_audit.errors import AuditError
from pm_audit.extensions import guarded
from pm_audit.forward.experiment import Experiment
from pm_audit.forward.features import Floats
from pm_audit.forward.grid import Integers
from pm_audit.forward.targets import Targets
from pm_audit.interventions.ablation import ablate_sets
from pm_audit.records import BaselineEvidence, Feature

_ORTHONORMAL = 1e-3
"""How far products of directions may be from those of orthonormal ones."""

Split = tuple[Sequence[int], Sequence[int]]
"""Discovery prompts, held-out prompts."""


def run_baselines(
    experiment: Experiment,
    folds: Sequence[Split],
    selected: Sequence[Sequence[Feature]],
    targets: Targets,
    *,
    most: int,
    seed: int,
) -> tuple[BaselineEvidence, ...]:
    """Return what every baseline does at the block of the trace's first SAE.

    ``selected`` are the features of each fold in the order in which they joined, and ``targets``
    what stands in their place; ``most`` is the number of directions that each baseline may use;
    ``seed`` is of starting points and draws.
    """
    trace, entered = experiment.trace, baselines()
    curves: dict[str, list[list[Floats]]] = {name: [] for name in (SAE_FEATURES, *entered)}
    tested = [experiment.rows_of(held_out) for _, held_out in folds]
    for (prompts, _), rows, features in zip(folds, tested, selected, strict=True):
        prefixes = [tuple(features[:count]) for count in range(1, len(features[:most]) + 1)]
        curves[SAE_FEATURES].append(list(ablate_sets(trace, prefixes, rows=rows, targets=targets)))
        discovery = Discovery(experiment, trace.saes[0], tuple(prompts), seed)
        for name, baseline in entered.items():
            directions = _found(baseline, discovery, most)
            points = [
                ablate_subspace(trace, discovery.layer, found, centre=discovery.centre, rows=rows)
                for found in (directions[:count] for count in range(1, len(directions) + 1))
            ]
            curves[name].append(points)
    return tuple(
        BaselineEvidence(name=name, rewards=_joined(experiment.rewards, tested, curve))
        for name, curve in curves.items()
    )


def _found(baseline: Baseline, discovery: Discovery, most: int) -> Tensor:
    """Return the directions that a baseline finds [direction hidden].

    Raises:
        AuditError: the baseline of another package raises, or its directions are not orthonormal,
            too many, or of another width.

    """
    if baseline in BUILT_IN:
        return baseline.find(discovery, most)
    with guarded(f"baseline {baseline.name!r} of {GROUP}", error=AuditError):
        directions = baseline.find(discovery, most).to(discovery.centre)
        count, width = directions.shape
        if count > most or width != len(discovery.centre):
            raise ValueError(
                f"its directions are {count} x {width}, expected at most {most} x "
                f"{len(discovery.centre)}"
            )
        unit = torch.eye(count).to(directions)
        if not torch.allclose(directions @ directions.T, unit, atol=_ORTHONORMAL):
            raise ValueError("its directions are not orthonormal")
    return directions


def _joined(
    clean: Floats, tested: Sequence[Integers], curve: Sequence[Sequence[Floats]]
) -> tuple[tuple[float, ...], ...]:
    """Put the folds' rows together; a fold that found fewer directions stays at its last."""
    rewards = []
    for number in range(max(len(points) for points in curve)):
        row = clean.copy()
        for rows, points in zip(tested, curve, strict=True):
            if points:
                row[rows] = points[min(number, len(points) - 1)]
        rewards.append(tuple(row.tolist()))
    return tuple(rewards)
