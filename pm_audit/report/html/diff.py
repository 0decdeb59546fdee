"""A diff of two PMs as one page: what each makes of the pairs, and the features that moved."""

from __future__ import annotations

import itertools
from typing import Any

from pm_audit.records.diff import DiffRecord
from pm_audit.records.scan import FeatureGroup
from pm_audit.report.html.heatmap import heatmaps
from pm_audit.report.html.page import page
from pm_audit.report.html.plots import edges, interval
from pm_audit.report.html.scale import strip_scale
from pm_audit.report.preferences import diff as words
from pm_audit.report.preferences import name, name_of_group, sampled_line, skipped_line
from pm_audit.report.sanitise import node_id


def render(record: DiffRecord) -> str:
    """Return the diff as a self-contained HTML page."""
    groups = [_group(record, group) for group in record.groups]
    own = [record.features[at] for group in record.groups for at in group.features]
    every = [group["record"].effect for group in groups]
    every += itertools.chain.from_iterable((one.effect, one.old, one.new) for one in own)
    return page(
        "diff.html.j2",
        record=record,
        verdict=words.changed_line(record),
        lead=words.accuracy_line(record),
        facts=[
            fact
            for fact in (
                sampled_line(record.data),
                skipped_line(record.data.skipped, record.data.rows),
                f"sigma {record.old_sigma:.3g} and {record.new_sigma:.3g}",
            )
            if fact
        ],
        shown=[group for group in groups if _is_shown(group["record"])],
        others=[group for group in groups if not _is_shown(group["record"])],
        scale=strip_scale(end for figure in every for end in edges(figure)),
        interval=interval,
    )


def _is_shown(group: FeatureGroup) -> bool:
    carries = group.share is not None and group.share.low is not None and group.share.low > 0
    return group.changed or carries


def _group(record: DiffRecord, group: FeatureGroup) -> dict[str, Any]:
    members = [record.features[at] for at in group.features]
    return {
        "record": group,
        "anchor": f"g-{node_id(str(members[0].index))}",
        "name": name_of_group(record.features, group.features),
        "lead": members[0],
        "features": [
            {"record": one, "name": name(one), "heat": heatmaps(one.firings)} for one in members
        ],
    }
