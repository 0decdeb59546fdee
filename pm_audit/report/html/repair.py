"""A repair as one page: what was tried, and what the chosen repairs do to each subset.

The page has the style, the script and the content policy of an audit's.  Changes of accuracy are
in points, a hundredth of all pairs; positive is better.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pm_audit.records import Figure
from pm_audit.records.repair import ALL, JudgedRepair, Miscalibration, RepairCandidate, RepairRecord
from pm_audit.report.html.page import page
from pm_audit.report.html.plots import edges, interval
from pm_audit.report.html.scale import Scale, strip_scale
from pm_audit.report.preferences import repair as words


def render(record: RepairRecord) -> str:
    """Return the record as a self-contained HTML page."""
    changes = [one.change for judged in record.judged for one in judged.subsets]
    return page(
        "repair.html.j2",
        record=record,
        lead=words.conclusion(record),
        facts=[
            f"chosen on {words.pairs_line(record.chosen_on)}",
            f"judged on {words.pairs_line(record.judged_on)}",
            f"intervals at {100 * record.confidence:.3g}%, at most "
            f"{100 * record.tolerance:.3g} points lost over all pairs",
        ],
        tolerance=100 * record.tolerance,
        judged=[_judged(one) for one in record.judged],
        change=_in_points(changes, record.tolerance),
        tried=[_tried(one, record) for one in record.candidates],
        header=words.header(record),
        gain=strip_scale(100 * one.change[ALL] for one in record.candidates),
        leans=[_lean(one) for one in record.miscalibration],
        lean=_in_points([one.difference for one in record.miscalibration]),
        interval=interval,
    )


def _in_points(figures: Iterable[Figure], tolerance: float = 0.0) -> Scale:
    """Return the axis of differences of shares, in points."""
    ends = (end for one in figures for end in edges(one))
    return strip_scale([-100 * tolerance, *(100 * end for end in ends if end is not None)])


def _points(figure: Figure) -> Figure:
    ends = {
        name: None if end is None else 100 * end
        for name, end in (("value", figure.value), ("low", figure.low), ("high", figure.high))
    }
    return figure.model_copy(update=ends)


def _judged(one: JudgedRepair) -> dict[str, Any]:
    return {
        "target": one.target,
        "name": str(one.candidate),
        "helps": one.helps,
        "verdict": words.verdict(one),
        "features": ", ".join(map(str, one.candidate.features)),
        "subsets": [
            {"record": part, "change": _points(part.change), "shown": words.points(part.change)}
            for part in one.subsets
        ],
    }


def _tried(one: RepairCandidate, record: RepairRecord) -> dict[str, Any]:
    name, *changes = words.row(one, record)
    return {
        "name": name,
        "all": 100 * one.change[ALL],
        "changes": list(zip(words.named(record), changes, strict=True)),
        "values": one.change,
    }


def _lean(one: Miscalibration) -> dict[str, Any]:
    shown = words.points(one.difference)
    return {"record": one, "difference": _points(one.difference), "shown": shown}
