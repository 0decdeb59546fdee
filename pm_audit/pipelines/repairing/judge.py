"""Which repair is chosen for whom, and what it does to pairs that took no part in the choice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pm_audit.errors import AuditError
from pm_audit.judging.intervals import as_difference
from pm_audit.judging.miscalibration import columns_sides, miscalibration
from pm_audit.pipelines.repairing.candidates import SMALLEST
from pm_audit.pipelines.repairing.measured import Measured, subsets
from pm_audit.pipelines.repairing.options import RepairOptions
from pm_audit.pipelines.repairing.paired_rewards import Read
from pm_audit.records.repair import (
    ALL,
    JudgedRepair,
    Miscalibration,
    RepairCandidate,
    SubsetChange,
)
from pm_audit.stats import mean_over_prompts


def targets_of(first: Read, second: Read, options: RepairOptions) -> tuple[list[str], list[str]]:
    """Return the subsets for which a repair is chosen, and a note on those that are too small."""
    halves = [subsets(half, options.by) for half in (first, second)]
    if options.targets:
        for target in options.targets:
            if not all(target in half for half in halves):
                known = ", ".join(name for name in halves[0] if name in halves[1])
                raise AuditError(f"no subset {target!r} in both halves; choose one of {known}")
        return list(options.targets), []
    large: list[str] = []
    small: list[str] = []
    for name in halves[0]:
        prompts = [
            len(set(pairs.prompt[half[name]].tolist())) if name in half else 0
            for pairs, half in zip((first, second), halves, strict=True)
        ]
        (large if name == ALL or min(prompts) >= SMALLEST else small).append(name)
    notes = [f"no repair is chosen for {', '.join(small)}: fewer than {SMALLEST} prompts a half"]
    return large, notes if small else []


def choose(
    chosen_on: Measured, count: int, targets: Sequence[str], options: RepairOptions
) -> dict[str, int]:
    """Return the candidate that gains most for each target; none if no candidate gains."""
    known = subsets(chosen_on.read, options.by)
    kept = [at for at in range(count) if chosen_on.change(at, known[ALL]) >= -options.tolerance]
    picked = {}
    for target in targets:
        gains = {at: chosen_on.change(at, known[target]) for at in kept}
        best = max(gains, key=lambda at: gains[at], default=None)
        if best is not None and gains[best] > 0:
            picked[target] = best
    return picked


def judge(
    target: str,
    candidate: RepairCandidate,
    number: int,
    judged_on: Measured,
    options: RepairOptions,
    confidence: float,
) -> JudgedRepair:
    """Return what a repair does to the judging pairs, and whether it helps its target."""
    before, after = judged_on.correct[0], judged_on.correct[number + 1]
    prompt = judged_on.read.prompt
    changes = []
    for name, own in subsets(judged_on.read, options.by).items():
        change = mean_over_prompts(
            (after - before)[own],
            prompt[own],
            resamples=options.resamples,
            confidence=confidence,
            seed=options.seed,
        )
        changes.append(
            SubsetChange(
                subset=name,
                pairs=len(own),
                prompts=len(set(prompt[own].tolist())),
                before=float(before[own].mean()),
                after=float(after[own].mean()),
                change=as_difference(change),
            )
        )
    gained = next(one for one in changes if one.subset == target).change
    lost = -changes[0].change.value
    reasons = []
    if not (gained.low is not None and gained.low > 0):
        reasons.append("the interval of its target's change reaches zero")
    if lost > options.tolerance:
        reasons.append(f"all pairs lose more than {100 * options.tolerance:.1f} points")
    return JudgedRepair(
        target=target,
        candidate=candidate,
        subsets=tuple(changes),
        helps=not reasons,
        reason="; ".join(reasons) or "its target gains, and all pairs lose no more than tolerated",
    )


def leans(
    parts: Sequence[Measured], sets: Sequence[str], options: RepairOptions
) -> tuple[Miscalibration, ...]:
    """Return how far the PM leans beyond the labellers, by verified set, length and columns.

    ``parts`` are of one reading, which numbers their prompts alike.
    """
    pairs = [pair for part in parts for pair in part.read.pairs]
    gaps = np.concatenate([part.gaps for part in parts])
    prompt = np.concatenate([part.read.prompt for part in parts])
    sides = {name: np.concatenate([part.sides[name] for part in parts]) for name in sets}
    sides |= columns_sides(pairs, options.contrasts)
    found = (
        miscalibration(name, side, gaps, prompt, confidence=options.confidence, seed=options.seed)
        for name, side in sides.items()
    )
    return tuple(one for one in found if one is not None)
