"""Baselines and the placebo in words: closure and collateral by number of directions."""

from __future__ import annotations

from pm_audit.records import Baseline, BaselinePoint, HypothesisRecord
from pm_audit.report import figures
from pm_audit.report.markdown_writer import MarkdownWriter
from pm_audit.report.terminal_writer import TerminalWriter

_SHOWN = (1, 2, 3, 5, 10)
"""Numbers of directions that tables have a column for; the record holds all."""

_TITLE = "Closure (collateral) by number of directions, on held-out prompts"


def terminal_lines(page: TerminalWriter, hypothesis: HypothesisRecord) -> None:
    """Add what a terminal shows of baselines and placebo; nothing if neither was run."""
    if hypothesis.baselines:
        page.line(f"  {_TITLE}:")
        header, *rows = table(hypothesis)
        page.table(header, rows, indent="  ")
    for text in (standing(hypothesis), placebo(hypothesis)):
        if text:
            page.wrapped(text, indent="  ")


def markdown_lines(page: MarkdownWriter, hypothesis: HypothesisRecord) -> None:
    """Add the same to a Markdown page."""
    if hypothesis.baselines:
        page.paragraph("{}:", _TITLE)
        header, *rows = table(hypothesis)
        page.table(header, rows)
    for text in (standing(hypothesis), placebo(hypothesis)):
        if text:
            page.paragraph("{}", text)


def standing(hypothesis: HypothesisRecord) -> str | None:
    """Return how the SAE's features compare with the best baseline of their number.

    The best is the one whose closure is nearest to all of the gap; overshoot counts against it.
    """
    if not hypothesis.baselines:
        return None
    own, *others = hypothesis.baselines
    count = len(own.points)
    reached = [
        (other.name, other.points[min(count or len(other.points), len(other.points)) - 1])
        for other in others
        if other.points
    ]
    if not reached:
        return None
    name, best = min(reached, key=lambda found: _missed(found[1]))
    if not count:
        return (
            f"No feature was selected; of the baselines, {name} comes nearest to the whole gap: "
            f"{in_words(best)} with {_directions(best.directions)}."
        )
    last = own.points[-1]
    baseline = f"{name}, {in_words(best)} with {_directions(best.directions)}"
    features = f"With {_directions(count)} the SAE's features close {in_words(last)}"
    if _missed(last) <= _missed(best):
        return (
            f"{features}; no baseline of their number comes nearer to the whole gap "
            f"(best: {baseline})."
        )
    return f"{features}; a baseline of their number comes nearer to the whole gap: {baseline}."


def placebo(hypothesis: HypothesisRecord) -> str | None:
    """Return what searches on exchanged labels closed, None if none was run."""
    closed, count = hypothesis.placebo_closure, len(hypothesis.evidence.placebos)
    if closed is None:
        return None
    return (
        f"{count} search{'es' if count != 1 else ''} on exchanged labels closed "
        f"{figures.percent(closed.value)} of the gap's size "
        f"(median; at most {figures.percent(closed.high or 0.0)})."
    )


def table(hypothesis: HypothesisRecord) -> list[list[str]]:
    """Return a row a baseline, the first row a header: closure, and collateral in brackets."""
    most = max((len(baseline.points) for baseline in hypothesis.baselines), default=0)
    shown = [number for number in _SHOWN if number <= most]
    if most and most not in shown:
        shown.append(most)
    return [
        ["directions", *map(str, shown)],
        *(
            [baseline.name, *(_cell(baseline, number) for number in shown)]
            for baseline in hypothesis.baselines
        ),
    ]


def _cell(baseline: Baseline, number: int) -> str:
    points = {point.directions: point for point in baseline.points}
    return _point(points[number], " ({})") if number in points else ""


def in_words(point: BaselinePoint) -> str:
    """Return a point's closure and collateral: ``80% at 5% collateral``."""
    return _point(point, " at {} collateral")


def _point(point: BaselinePoint, collateral: str) -> str:
    moved = point.collateral
    said = "" if moved is None else collateral.format(figures.percent(moved.value))
    return figures.percent(point.closure.value) + said


def _missed(point: BaselinePoint) -> float:
    return abs(1.0 - point.closure.value)


def _directions(count: int) -> str:
    return f"{count} direction{'s' if count != 1 else ''}"
