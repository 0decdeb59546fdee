"""Figures of the baselines and of the placebo: what the selected features are compared with.

A baseline's closure is ``1 - G_k / G`` with its first k directions replaced, over the same prompts
and with the same bootstrap as the headline; its collateral is the largest mean movement of a
counter-example or control template, as a share of the gap.  No check rests on them.
"""

from __future__ import annotations

import numpy as np

from pm_audit.judging.intervals import as_figure, bootstrap_of
from pm_audit.judging.prompts import PromptTable, tabulate
from pm_audit.judging.ratios import closure_of
from pm_audit.records import (
    Baseline,
    BaselinePoint,
    Evidence,
    Figure,
    MethodRecord,
    Unit,
)
from pm_audit.stats import PromptBootstrap


def measure_baselines(evidence: Evidence, method: MethodRecord) -> tuple[Baseline, ...]:
    """Return closure and collateral by number of directions, for a gap that is not zero."""
    if not evidence.baselines:
        return ()
    bootstrap = bootstrap_of(len(evidence.prompts), method)
    return tuple(
        Baseline(
            name=baseline.name,
            points=tuple(
                _point(number, _after(evidence, rewards), bootstrap)
                for number, rewards in enumerate(baseline.rewards, start=1)
            ),
        )
        for baseline in evidence.baselines
    )


def placebo_closure(evidence: Evidence) -> Figure | None:
    """Return what placebo searches closed of their own gaps, as a share of the gap's size.

    A placebo's own gap is near zero, so nothing can be divided by it.
    """
    if not evidence.placebos:
        return None
    gap = abs(float(tabulate(evidence).gap.mean()))
    closed = [
        (abs(float(np.mean(placebo.gap))) - abs(float(np.mean(placebo.gap_after)))) / gap
        for placebo in evidence.placebos
    ]
    return Figure(
        value=float(np.median(closed)), low=min(closed), high=max(closed), unit=Unit.SHARE
    )


def _after(evidence: Evidence, rewards: tuple[float, ...]) -> PromptTable:
    rows = tuple(
        row.model_copy(update={"ablated": reward})
        for row, reward in zip(evidence.rows, rewards, strict=True)
    )
    apart = {"rows": rows, "stages": (), "alongside": (), "transfer": ()}
    return tabulate(evidence.model_copy(update=apart))


def _point(directions: int, table: PromptTable, bootstrap: PromptBootstrap) -> BaselinePoint:
    closure = closure_of(table.gap_ablated, table, bootstrap)
    moved = [
        abs(float(one.moved.sum() / (one.present * table.gap).sum()))
        for one in table.off_targets
        if (one.present * table.gap).sum() != 0
    ]
    collateral = Figure(value=max(moved), unit=Unit.SHARE) if moved else None
    return BaselinePoint(
        directions=directions, closure=as_figure(closure, Unit.SHARE), collateral=collateral
    )
