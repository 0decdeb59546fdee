"""How far an explanation holds, drawn: one axis of shares of the gap, a row a condition."""

from __future__ import annotations

from itertools import chain
from typing import NamedTuple

from pm_audit.records import HypothesisRecord
from pm_audit.report import scope
from pm_audit.report.html.difference import Part, shortened
from pm_audit.report.html.plots import Strips, edges
from pm_audit.report.html.scale import strip_scale

_ENDS = (-0.5, 2.0)
"""Shares at which the axis ends; the labels hold every figure."""


class Row(NamedTuple):
    """One condition on the axis."""

    of: scope.Condition
    parts: tuple[Part, ...]
    """The phrasing, cut as completions are; empty if the condition is about none."""
    expected: tuple[float, float] | None
    """Shares between which the hypothesis expects it."""


def conditions(hypothesis: HypothesisRecord, replacement: str) -> Strips[Row] | None:
    """Return the conditions in the order of every report; None without a closure."""
    if hypothesis.closure is None:
        return None
    rows = tuple(_row(one, hypothesis) for one in scope.conditions(hypothesis, replacement))
    lowest, highest = _ENDS
    measured = (edges(row.of.figure) for row in rows if row.of.figure)
    ends = [1.0, *(row.of.seen for row in rows), *chain.from_iterable(measured)]
    shown = (min(max(end, lowest), highest) for end in ends if end is not None)
    return Strips(strip_scale(shown), rows)


def _row(one: scope.Condition, hypothesis: HypothesisRecord) -> Row:
    parts = shortened(one.phrasing, None) if one.phrasing else ()
    expected = None
    if one.figure is hypothesis.closure and (least := _required(hypothesis, "closure")):
        expected = (least, 2 - least)
    elif one.term == "collateral" and (most := _required(hypothesis, "collateral")):
        expected = (0.0, most)
    return Row(one, parts, expected)


def _required(hypothesis: HypothesisRecord, key: str) -> float | None:
    """Return a threshold of the policy, if the record says it."""
    found = hypothesis.expect.get(key)
    return float(found) if isinstance(found, int | float) and 0 < found <= 1 else None
