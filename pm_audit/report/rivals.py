"""Rivals and the placebo as tables: closure and collateral by number of directions."""

from __future__ import annotations

from tabulate import tabulate

from pm_audit.records import Figure, HypothesisRecord, Rival, RivalPoint
from pm_audit.report import sanitise

_SHOWN = (1, 2, 3, 5, 10)
"""Numbers of directions that tables have a column for; the record holds all."""


def terminal_lines(hypothesis: HypothesisRecord) -> list[str]:
    """Return what a terminal shows of rivals and placebo; nothing where neither was run."""
    lines = []
    if hypothesis.rivals:
        table = tabulate(_rows(hypothesis), tablefmt="plain", disable_numparse=True)
        lines = [f"  {line.rstrip()}" for line in sanitise.terminal_lines(table).split("\n")]
        lines.append("  closure (collateral) with so many directions, on held-out prompts")
    if hypothesis.placebo_closure is not None:
        lines.append(f"  {_placebo(hypothesis.placebo_closure, len(hypothesis.evidence.placebos))}")
    return lines


def markdown_lines(hypothesis: HypothesisRecord) -> list[str]:
    """Return the same as Markdown."""
    lines = []
    if hypothesis.rivals:
        header, *rows = _rows(hypothesis)
        lines += [
            "Closure (collateral) with so many directions, on held-out prompts:",
            "",
            f"| {' | '.join(header)} |",
            "| --- " * len(header) + "|",
        ]
        lines += [f"| {' | '.join(sanitise.markdown(cell) for cell in row)} |" for row in rows]
        lines.append("")
    if hypothesis.placebo_closure is not None:
        lines += [
            sanitise.markdown(
                _placebo(hypothesis.placebo_closure, len(hypothesis.evidence.placebos))
            )
            + ".",
            "",
        ]
    return lines


def _rows(hypothesis: HypothesisRecord) -> list[list[str]]:
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


def _placebo(placebo: Figure, count: int) -> str:
    return (
        f"{count} searches on exchanged labels closed {placebo.value:.0%} of the gap's size "
        f"(median; at most {placebo.high or 0.0:.0%})"
    )
