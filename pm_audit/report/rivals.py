"""Rivals and the placebo in words: closure and collateral by number of directions."""

from __future__ import annotations

import textwrap

from tabulate import tabulate

from pm_audit.records import HypothesisRecord, Rival, RivalPoint
from pm_audit.report import sanitise

_SHOWN = (1, 2, 3, 5, 10)
"""Numbers of directions that tables have a column for; the record holds all."""

_WIDTH = 96
"""Columns of a sentence in the terminal, less its indent."""


def terminal_lines(hypothesis: HypothesisRecord) -> list[str]:
    """Return what a terminal shows of rivals and placebo; nothing where neither was run."""
    lines = []
    if hypothesis.rivals:
        grid = tabulate(table(hypothesis), tablefmt="plain", disable_numparse=True)
        lines = [f"  {line.rstrip()}" for line in sanitise.terminal_lines(grid).split("\n")]
        lines.append("  closure (collateral) with so many directions, on held-out prompts")
    said = [text for text in (standing(hypothesis), placebo(hypothesis)) if text]
    wrapped = (line for text in said for line in textwrap.wrap(text, _WIDTH))
    return [*lines, *(f"  {sanitise.terminal(line)}" for line in wrapped)]


def markdown_lines(hypothesis: HypothesisRecord) -> list[str]:
    """Return the same as Markdown."""
    lines = []
    if hypothesis.rivals:
        header, *rows = table(hypothesis)
        lines += [
            "Closure (collateral) with so many directions, on held-out prompts:",
            "",
            f"| {' | '.join(header)} |",
            "| --- " * len(header) + "|",
        ]
        lines += [f"| {' | '.join(sanitise.markdown(cell) for cell in row)} |" for row in rows]
        lines.append("")
    for text in (standing(hypothesis), placebo(hypothesis)):
        if text:
            lines += [sanitise.markdown(text), ""]
    return lines


def standing(hypothesis: HypothesisRecord) -> str | None:
    """Say whether the SAE earns its place: its features beside the best rival of their number.

    The best is the one whose closure is nearest to all of the gap; overshoot counts against it.
    """
    if not hypothesis.rivals:
        return None
    own, *others = hypothesis.rivals
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
            f"No feature was selected; of the rivals, {name} comes nearest to the whole gap: "
            f"{in_words(best)} with {_directions(best.directions)}."
        )
    last = own.points[-1]
    rival = f"{name}, {in_words(best)} with {_directions(best.directions)}"
    features = f"With {_directions(count)} the SAE's features close {in_words(last)}"
    if _missed(last) <= _missed(best):
        return (
            f"{features}; no rival of their number comes nearer to the whole gap (best: {rival})."
        )
    return f"{features}; a rival of their number comes nearer to the whole gap: {rival}."


def placebo(hypothesis: HypothesisRecord) -> str | None:
    """Say what searches on exchanged labels closed, or nothing where none was run."""
    closed, count = hypothesis.placebo_closure, len(hypothesis.evidence.placebos)
    if closed is None:
        return None
    return (
        f"{count} search{'es' if count != 1 else ''} on exchanged labels closed "
        f"{closed.value:.0%} of the gap's size (median; at most {closed.high or 0.0:.0%})."
    )


def table(hypothesis: HypothesisRecord) -> list[list[str]]:
    """Return a row a rival, the first row a header: closure, and collateral in brackets."""
    most = max((len(rival.points) for rival in hypothesis.rivals), default=0)
    shown = [number for number in _SHOWN if number <= most]
    if most and most not in shown:
        shown.append(most)
    return [
        ["directions", *map(str, shown)],
        *([rival.name, *(_cell(rival, number) for number in shown)] for rival in hypothesis.rivals),
    ]


def _cell(rival: Rival, number: int) -> str:
    points = {point.directions: point for point in rival.points}
    return _point(points[number]) if number in points else ""


def _point(point: RivalPoint) -> str:
    collateral = "" if point.collateral is None else f" ({point.collateral.value:.0%})"
    return f"{point.closure.value:.0%}{collateral}"


def in_words(point: RivalPoint) -> str:
    """Return a point's closure and collateral: ``80% at 5% collateral``."""
    collateral = "" if point.collateral is None else f" at {point.collateral.value:.0%} collateral"
    return f"{point.closure.value:.0%}{collateral}"


def _missed(point: RivalPoint) -> float:
    return abs(1.0 - point.closure.value)


def _directions(count: int) -> str:
    return f"{count} direction{'s' if count != 1 else ''}"
