"""A diff of two PMs in words: what each makes of the pairs, and the features that moved."""

from __future__ import annotations

from collections.abc import Sequence

from pm_audit.records import Figure
from pm_audit.records.diff import ChangedFeature, DiffRecord
from pm_audit.report import figures
from pm_audit.report.preferences.scan import (
    SHOWN,
    name_of_group,
    sampled_line,
    skipped_line,
)
from pm_audit.report.terminal_writer import TerminalWriter

_NAME = 36


def accuracy_line(record: DiffRecord) -> str:
    """Return how often each PM prefers the chosen side, and how often they agree."""
    old, new = record.old_accuracy, record.new_accuracy
    return (
        f"{record.new.pm} prefers the chosen side in {figures.with_bounds(new.accuracy)} of "
        f"{new.comparisons:,} comparisons over {new.prompts:,} prompts, {record.old.pm} in "
        f"{figures.percent(old.accuracy.value)}; they prefer the same side in "
        f"{figures.with_bounds(record.agreement)}."
    )


def changed_line(record: DiffRecord) -> str:
    """Return how many groups changed, or that none did."""
    total = len(record.groups)
    if not record.changed:
        tried = f"{total} groups of features were measured" if total else "no feature differs"
        return f"No feature changed what it does to the reward: {tried}."
    return (
        f"{len(record.changed)} of {total} groups of features changed what they do to the reward, "
        f"with {record.method.confidence:.0%} confidence in all of these together."
    )


def effect(one: ChangedFeature) -> str:
    """Return a feature's contribution in both PMs, in sigma."""
    return f"{figures.signed(one.old.value)} to {figures.signed(one.new.value)}"


def bare(figure: Figure) -> str:
    """Return a change in sigma with its interval, without its unit."""
    return figures.bare(figure, most=3)


def summary(record: DiffRecord) -> str:
    """Return what both PMs make of the pairs, and the groups that changed most certainly."""
    page = TerminalWriter()
    page.line(f"{record.old.pm} -> {record.new.pm}, SAE {record.new.saes[0].name}")
    lines = (
        accuracy_line(record),
        skipped_line(record.data.skipped, record.data.rows),
        sampled_line(record.data),
        changed_line(record),
    )
    for line in filter(None, lines):
        page.wrapped(line)
    if not record.groups:
        return page.text()
    page.line()
    header = ["", "of change", "change (sigma)", "old to new", "group"]
    page.table(header, _rows(record), roomy=True)
    if len(record.groups) > SHOWN:
        page.line(f"and {len(record.groups) - SHOWN} more groups")
    return page.text()


def _rows(record: DiffRecord) -> Sequence[list[str]]:
    return [
        [
            str(rank) if group.changed else f"({rank})",
            "" if group.share is None else figures.percent(group.share.value),
            bare(group.effect),
            effect(record.features[group.features[0]]),
            name_of_group(record.features, group.features, width=_NAME),
        ]
        for rank, group in enumerate(record.groups[:SHOWN], start=1)
    ]
