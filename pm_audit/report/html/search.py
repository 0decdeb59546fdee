"""How the features were found: attribution against ablation, and closure by size of the set.

The scatter plot is scaled to the selected features.  Candidates that a filter dropped for moving
everything can be ten times as large as the gap; they are drawn at the edge.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

from pm_audit.records import FeatureRecord, HypothesisRecord
from pm_audit.report import feature_words, figures
from pm_audit.report.html.scale import Scale, spanning

_LEFT, _RIGHT, _TOP, _BOTTOM = 58.0, 388.0, 12.0, 300.0
_BEYOND = 1.15
"""The axis ends so many times as far out as the largest value that matters."""


@dataclass(frozen=True, slots=True)
class Point:
    """One candidate: attribution against contribution, in pixels."""

    x: float
    y: float
    title: str
    selected: bool
    outside: bool
    """Beyond the axes, drawn at their edge."""


@dataclass(frozen=True, slots=True)
class Scatter:
    """How well the cheap score predicted the ablation."""

    across: Scale
    up: Scale
    points: tuple[Point, ...]
    diagonal: tuple[float, float, float, float]
    outside: int


@dataclass(frozen=True, slots=True)
class Growth:
    """Closure against the size of the set, a line a fold."""

    across: Scale
    up: Scale
    folds: tuple[tuple[tuple[float, float], ...], ...]


def scatter(hypothesis: HypothesisRecord) -> Scatter | None:
    """Return attribution against contribution in sigma; None with fewer than two candidates."""
    sigma = hypothesis.evidence.sigma
    proposed = [
        (feature, feature.attribution / sigma, feature.contribution.value / sigma)
        for feature in hypothesis.features
        if feature.attribution is not None
    ]
    if len(proposed) < 2:
        return None
    mattering = [one for one in proposed if one[0].folds] or proposed
    shown = list(chain.from_iterable(one[1:] for one in mattering))
    across = spanning([_BEYOND * value for value in shown], start=_LEFT, end=_RIGHT)
    up = Scale(across.low, across.high, _BOTTOM, _TOP)
    points = tuple(_point(*one, across, up) for one in proposed)
    diagonal = (across(across.low), up(across.low), across(across.high), up(across.high))
    outside = sum(point.outside for point in points)
    return Scatter(across, up, points, diagonal, outside)


def growth(hypothesis: HypothesisRecord) -> Growth | None:
    """Return how closure grew with the set, or None where no fold selected anything."""
    curves = [fold.growth for fold in hypothesis.evidence.folds if fold.growth]
    if not curves:
        return None
    longest = max(len(curve) for curve in curves)
    across = Scale(0.0, float(max(longest, 2)), _LEFT, _RIGHT)
    values = [1.0, *chain.from_iterable(curves)]
    up = spanning(values, start=_BOTTOM, end=_TOP)
    folds = tuple(
        tuple((across(float(size)), up(value)) for size, value in enumerate((0.0, *curve)))
        for curve in curves
    )
    return Growth(across, up, folds)


def _point(
    feature: FeatureRecord, score: float, effect: float, across: Scale, up: Scale
) -> Point:
    inside = all(across.low <= value <= across.high for value in (score, effect))
    words = feature_words.label(feature)
    return Point(
        across(min(max(score, across.low), across.high)),
        up(min(max(effect, up.low), up.high)),
        f"{feature}{f' on {words}' if words else ''}: attribution {figures.signed(score)}, "
        f"contribution {figures.signed(effect)} sigma",
        bool(feature.folds),
        not inside,
    )
