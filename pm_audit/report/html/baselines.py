"""Small multiples of the baselines: closure and collateral by number of directions.

Every panel has the same axes and shows the SAE's own curve behind, so that a reader sees at which
number of directions a baseline does better.  Axes end at 150%: beyond, a curve runs along the edge
and its figures stand in the table.
"""

from __future__ import annotations

from dataclasses import dataclass

from pm_audit.records import Baseline, HypothesisRecord
from pm_audit.report import baselines
from pm_audit.report.html.scale import Scale

_LOWEST, _HIGHEST = -0.5, 1.5
_RIGHT, _BOTTOM = 252.0, 148.0

Curve = tuple[tuple[float, float], ...]
"""Pixels, by number of directions."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One baseline."""

    name: str
    closure: Curve
    band: Curve
    """Outline of closure's interval; empty where there is none."""
    collateral: Curve
    words: tuple[str, ...]
    """What each point of closure says."""


@dataclass(frozen=True, slots=True)
class Multiples:
    """All baselines on one pair of axes."""

    across: Scale
    up: Scale
    own: Curve
    """Closure of the SAE's features, repeated in every panel."""
    panels: tuple[Panel, ...]
    table: tuple[tuple[str, ...], ...]
    """A row a baseline; the first holds the numbers of directions."""
    standing: str | None


def multiples(hypothesis: HypothesisRecord) -> Multiples | None:
    """Return the baselines' panels, or None where no baseline was run."""
    ran = [baseline for baseline in hypothesis.baselines if baseline.points]
    if not ran:
        return None
    figures = [
        figure.value
        for baseline in ran
        for point in baseline.points
        for figure in (point.closure, point.collateral)
        if figure is not None
    ]
    most = max(len(baseline.points) for baseline in ran)
    across = Scale(0.0, float(max(most, 2)), 40.0, _RIGHT)
    low = max(_LOWEST, min(0.0, *figures))
    up = Scale(low, min(_HIGHEST, max(1.05, *figures)), _BOTTOM, 12.0)
    own = hypothesis.baselines[0]
    return Multiples(
        across,
        up,
        _closure(own, across, up),
        tuple(_panel(baseline, across, up) for baseline in ran),
        tuple(tuple(row) for row in baselines.table(hypothesis)),
        baselines.standing(hypothesis),
    )


def _panel(baseline: Baseline, across: Scale, up: Scale) -> Panel:
    bounds = [
        (point.directions, point.closure.low, point.closure.high)
        for point in baseline.points
        if point.closure.low is not None and point.closure.high is not None
    ]
    upper = [_at(number, high, across, up) for number, _, high in bounds]
    lower = [_at(number, low, across, up) for number, low, _ in reversed(bounds)]
    return Panel(
        baseline.name,
        _closure(baseline, across, up),
        tuple(upper + lower) if len(bounds) > 1 else (),
        tuple(
            _at(point.directions, point.collateral.value, across, up)
            for point in baseline.points
            if point.collateral is not None
        ),
        tuple(baselines.in_words(point) for point in baseline.points),
    )


def _closure(baseline: Baseline, across: Scale, up: Scale) -> Curve:
    return tuple(
        _at(point.directions, point.closure.value, across, up) for point in baseline.points
    )


def _at(directions: int, share: float, across: Scale, up: Scale) -> tuple[float, float]:
    return across(float(directions)), up(min(max(share, up.low), up.high))
