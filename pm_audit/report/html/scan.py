"""A scan as one page: accuracy, what goes along with preference, and the features behind it.

The page has the style, the script and the content policy of an audit's.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

from pm_audit.records import Figure
from pm_audit.records.scan import Accuracy, FeatureGroup, ScanRecord
from pm_audit.report import figures
from pm_audit.report.html.heatmap import heatmaps
from pm_audit.report.html.page import page
from pm_audit.report.html.plots import edges, interval
from pm_audit.report.html.scale import Scale, spanning, strip_scale
from pm_audit.report.preferences import scan as words
from pm_audit.report.sanitise import node_id

_MOST_PARTS = 20
"""Values of a column that are drawn."""


class Bar(NamedTuple):
    """A bar of the histogram, in pixels."""

    x: float
    width: float
    y: float
    height: float
    title: str
    positive: bool


class Bars(NamedTuple):
    """The histogram of reward differences, in sigma."""

    across: Scale
    up: Scale
    drawn: tuple[Bar, ...]


def render(record: ScanRecord) -> str:
    """Return the scan as a self-contained HTML page."""
    sigma = record.sigma
    groups = [_group(record, group) for group in record.groups]
    every = [group["effect"] for group in groups]
    every += [feature["effect"] for group in groups for feature in group["features"]]
    parts = {name: tuple(found[:_MOST_PARTS]) for name, found in record.by_column.items()}
    if len(record.by_turns) > 1:
        parts["turns of the prompt"] = record.by_turns
    return page(
        "scan.html.j2",
        record=record,
        lead=words.accuracy_line(record.overall),
        facts=[
            fact
            for fact in (
                words.sampled_line(record.data),
                words.skipped_line(record.data.skipped, record.data.rows),
                f"sigma {figures.unsigned(sigma)}, noise {record.noise:.2g}",
            )
            if fact
        ],
        histogram=_histogram(record),
        parts=parts,
        share=_shares([one for found in parts.values() for one in found] + [record.overall]),
        groups=groups,
        scale=strip_scale(end for figure in every for end in edges(figure)),
        correlation=Scale(-1.0, 1.0, 3.0, 97.0),
        interval=interval,
    )


def _shares(parts: list[Accuracy]) -> Scale:
    ends = [end for one in parts for end in edges(one.accuracy)] + [0.5]
    known = [end for end in ends if end is not None]
    return Scale(max(0.0, min(known) - 0.02), min(1.0, max(known) + 0.02), 3.0, 97.0)


def _histogram(record: ScanRecord) -> Bars:
    edges_in_sigma = [edge / record.sigma for edge in record.differences.edges]
    across = Scale(edges_in_sigma[0], edges_in_sigma[-1], 40.0, 600.0)
    up = spanning([float(count) for count in record.differences.counts], start=180.0, end=12.0)
    drawn = []
    sides = itertools.pairwise(edges_in_sigma)
    for count, (low, high) in zip(record.differences.counts, sides, strict=True):
        title = f"{count:,} comparisons from {figures.signed(low)} to {figures.signed(high)} sigma"
        width = max(across(high) - across(low) - 1, 1.0)
        top = up(float(count))
        drawn.append(Bar(across(low), width, top, round(180.0 - top, 2), title, low + high > 0))
    return Bars(across, up, tuple(drawn))


def _group(record: ScanRecord, group: FeatureGroup) -> dict[str, Any]:
    """Return a group as the page shows it, effects in sigma."""

    def in_sigma(figure: Figure) -> Figure:
        return figures.in_sigma(figure, record.sigma)

    members = [record.features[at] for at in group.features]
    return {
        "record": group,
        "anchor": f"g-{node_id(str(members[0].index))}",
        "name": words.name_of_group(record.features, group.features),
        "effect": in_sigma(group.effect),
        "difference": in_sigma(group.difference),
        "lead": members[0],
        "features": [
            {
                "record": one,
                "name": words.name(one),
                "effect": in_sigma(one.effect),
                "zero": in_sigma(one.zero),
                "difference": in_sigma(one.difference),
                "heat": heatmaps(one.firings),
            }
            for one in members
        ],
    }
