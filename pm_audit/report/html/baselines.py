"""Small multiples of the rivals: closure and collateral by number of directions, a panel a rival.

Every panel has the same axes and shows the SAE's own curve behind, so that a reader sees at which
number of directions a rival does better.  Axes end at 150%: beyond, a curve runs along the edge
and its figures stand in the table.
"""

from __future__ import annotations

from dataclasses import dataclass

from pm_audit.records import HypothesisRecord, Rival
from pm_audit.report import baselines as rivals
from pm_audit.report.html.scale import Scale

_LOWEST, _HIGHEST = -0.5, 1.5
_RIGHT, _BOTTOM = 252.0, 148.0

Curve = tuple[tuple[float, float], ...]
"""Pixels, by number of directions."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One rival."""

    name: str
    closure: Curve
    band: Curve
    """Outline of closure's interval; empty where there is none."""
    collateral: Curve
    words: tuple[str, ...]
    """What each point of closure says."""


@dataclass(frozen=True, slots=True)
class Multiples:
    """All rivals on one pair of axes."""

    across: Scale
    up: Scale
    own: Curve
    """Closure of the SAE's features, repeated in every panel."""
    panels: tuple[Panel, ...]
    table: tuple[tuple[str, ...], ...]
    """A row a rival; the first holds the numbers of directions."""
    standing: str | None


def multiples(hypothesis: HypothesisRecord) -> Multiples | None:
    """Return the rivals' panels, or None where no rival was run."""
    ran = [rival for rival in hypothesis.rivals if rival.points]
    if not ran:
        return None
    figures = [
        figure.value
        for rival in ran
        for point in rival.points
        for figure in (point.closure, point.collateral)
        if figure is not None
    ]
    most = max(len(rival.points) for rival in ran)
    across = Scale(0.0, float(max(most, 2)), 40.0, _RIGHT)
    low = max(_LOWEST, min(0.0, *figures))
    up = Scale(low, min(_HIGHEST, max(1.05, *figures)), _BOTTOM, 12.0)
    own = hypothesis.rivals[0]
    return Multiples(
        across,
        up,
        _closure(own, across, up),
        tuple(_panel(rival, across, up) for rival in ran),
        tuple(tuple(row) for row in rivals.table(hypothesis)),
        rivals.standing(hypothesis),
    )


def _panel(rival: Rival, across: Scale, up: Scale) -> Panel:
    bounds = [
        (point.directions, point.closure.low, point.closure.high)
        for point in rival.points
        if point.closure.low is not None and point.closure.high is not None
    ]
    upper = [_at(number, high, across, up) for number, _, high in bounds]
    lower = [_at(number, low, across, up) for number, low, _ in reversed(bounds)]
    return Panel(
        rival.name,
        _closure(rival, across, up),
        tuple(upper + lower) if len(bounds) > 1 else (),
        tuple(
            _at(point.directions, point.collateral.value, across, up)
            for point in rival.points
            if point.collateral is not None
        ),
        tuple(rivals.in_words(point) for point in rival.points),
    )


def _closure(rival: Rival, across: Scale, up: Scale) -> Curve:
    return tuple(_at(point.directions, point.closure.value, across, up) for point in rival.points)


def _at(directions: int, share: float, across: Scale, up: Scale) -> tuple[float, float]:
    return across(float(directions)), up(min(max(share, up.low), up.high))
