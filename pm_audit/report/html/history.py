"""A history as one page: sparklines of every hypothesis, and below each what changed when.

Releases stand at equal steps, the oldest first.  A line joins two figures only if they can be
compared.  The page has the style, the script and the content policy of an audit's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any, NamedTuple

from pm_audit.records import Figure, Outcome
from pm_audit.report import figures
from pm_audit.report.changes import Change
from pm_audit.report.html.page import page
from pm_audit.report.html.plots import edges
from pm_audit.report.html.scale import Scale, Tick, spanning
from pm_audit.report.over_time.history import History, Point, Series
from pm_audit.report.sanitise import node_id

_SMALL, _LARGE = 34.0, 190.0
"""Height of a sparkline and of the plot below it, in pixels."""
_EDGE = 4.0
_CELL = 8.0
"""Height of a row of outcomes."""

_KINDS = {
    Outcome.PASS: "pass",
    Outcome.SKIPPED: "idle",
    Outcome.INCONCLUSIVE: "unsure",
    Outcome.FAIL: "fail",
    Outcome.INVALID: "unsure",
}


class Dot(NamedTuple):
    """A figure of one release: across in percent, up and down in pixels."""

    x: float
    y: float
    low: float
    high: float
    kind: str
    title: str


class Line(NamedTuple):
    """From a release to the next that can be compared with it."""

    x: float
    y: float
    to_x: float
    to_y: float


class Curve(NamedTuple):
    """One figure over all releases."""

    height: float
    zero: float
    dots: tuple[Dot, ...]
    lines: tuple[Line, ...]
    ticks: tuple[Tick, ...]


class Cell(NamedTuple):
    """The outcome of one check in one release."""

    x: float
    y: float
    width: float
    height: float
    """The worse the outcome the taller, so that colour is not all that tells them apart."""
    kind: str


_HEIGHTS = {"pass": 2.0, "idle": 2.0, "unsure": 4.0, "fail": 6.0}


def render(history: History, pages: Mapping[str, str] | None = None) -> str:
    """Return the history as a self-contained HTML page.

    Args:
        history: what is shown.
        pages: relative addresses of the releases' own pages, by digest; none without them.

    """
    count = len(history.releases)
    across = Scale(0.0, max(count - 1.0, 1.0), 4.0, 96.0)
    step = min(92.0 / max(count - 1, 1), 8.0)
    return page(
        "history.html.j2",
        history=history,
        pages=pages or {},
        latest=history.releases[-1],
        entries=[_entry(one, history, across, step) for one in history.series],
        rows=round(_CELL * len(history.checks), 1),
        columns=[Tick(across(at), str(at + 1), at) for at in _numbered(count)],
        apart=[across(at - 0.5) for at, one in enumerate(history.releases) if _apart(one.step)],
    )


def _apart(step: object) -> bool:
    return bool(getattr(step, "breaks", ()))


def _numbered(count: int) -> list[int]:
    """Return the places of the releases whose number fits below a plot: at most about ten."""
    step = -(-count // 10)
    return sorted({*range(0, count, step)})


def _entry(series: Series, history: History, across: Scale, step: float) -> dict[str, Any]:
    """Return one hypothesis as the template shows it."""
    last = series.last
    return {
        "series": series,
        "last": last,
        "anchor": f"h-{node_id(series.name)}",
        "gap": _curve(series, across, _gap, _SMALL),
        "residual": _curve(series, across, _residual, _SMALL),
        "plot": _curve(series, across, _gap, _LARGE),
        "cells": _cells(series, history, across, step),
        "moved": _moved(series),
        "words": _words(series),
        "features": _features(series),
        "changes": [_changes(series, history, at) for at in range(len(history.releases))],
        "attention": last.worst not in (Outcome.PASS, Outcome.SKIPPED) or series.gone,
    }


def _gap(point: Point) -> Figure:
    return point.gap


def _residual(point: Point) -> Figure:
    return point.residual


def _curve(
    series: Series, across: Scale, figure: Callable[[Point], Figure], height: float
) -> Curve:
    known = [figure(point) for point in series.points if point is not None]
    large = height > _SMALL
    ends = chain.from_iterable(map(edges, known)) if large else (one.value for one in known)
    up = spanning(ends, start=height - _EDGE, end=_EDGE)
    placed = {
        at: (across(at), up(figure(point).value))
        for at, point in enumerate(series.points)
        if point is not None
    }
    return Curve(
        height=height,
        zero=up(0.0),
        dots=tuple(
            _dot(figure(point), placed[at], up, _KINDS[point.worst], at)
            for at, point in enumerate(series.points)
            if point is not None
        ),
        lines=tuple(
            Line(*placed[at - 1], *placed[at]) for at, joined in enumerate(series.joined) if joined
        ),
        ticks=up.ticks(most=5) if large else (),
    )


def _dot(figure: Figure, place: tuple[float, float], up: Scale, kind: str, at: int) -> Dot:
    low, high = (place[1] if end is None else up.clamped(end) for end in (figure.low, figure.high))
    return Dot(*place, low, high, kind, f"release {at + 1}: {figures.with_bounds(figure)}")


def _cells(series: Series, history: History, across: Scale, step: float) -> list[Cell]:
    """Return the outcomes, a row a check and a column a release."""
    width = round(0.8 * step, 2)
    cells = []
    for row, check in enumerate(history.checks):
        for at, point in enumerate(series.points):
            if point is not None and check in point.outcomes:
                kind = _KINDS[point.outcomes[check]]
                height = _HEIGHTS[kind]
                y = _CELL * (row + 0.5) - height / 2
                cells.append(Cell(round(across(at) - width / 2, 2), y, width, height, kind))
    return cells


def _moved(series: Series) -> str:
    """Return how the gap changed at the latest release; nothing if that cannot be said."""
    if not series.joined[-1]:
        return ""
    was, now = (point for point in series.points[-2:] if point is not None)
    places = figures.decimals(was.gap.value, now.gap.value)
    return figures.signed(now.gap.value - was.gap.value, places)


def _features(series: Series) -> list[tuple[str, ...] | None]:
    """Return the features of each release; None where they are those of the release before."""
    held = [None if point is None else point.features for point in series.points]
    return [now if at == 0 or now != held[at - 1] else None for at, now in enumerate(held)]


def _words(series: Series) -> str:
    """Return what the plots show, for those who do not see them."""
    held = [(at, point) for at, point in enumerate(series.points, start=1) if point is not None]
    gaps = ", ".join(f"{at}: {figures.value(point.gap)}" for at, point in held)
    return f"gap in sigma by release: {gaps}"


def _changes(series: Series, history: History, at: int) -> list[Change]:
    step = history.releases[at].step
    return [] if step is None else [one for one in step.changes if one.hypothesis == series.name]
