"""A scan in a terminal: accuracy, what goes along with preference, the strongest groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pm_audit.records import Figure
from pm_audit.records.scan import Accuracy, ScanData, ScannedFeature, ScanRecord
from pm_audit.report import feature_words, figures
from pm_audit.report.terminal_writer import TerminalWriter

SHOWN = 20
"""Groups of a terminal's table."""
_NAME = 44


def accuracy_line(one: Accuracy) -> str:
    """Return ``The PM prefers the chosen side in 61% [59%, 63%] of 2,000 pairs, 1,204 prompts``."""
    return (
        f"The PM prefers the chosen side in {figures.with_bounds(one.accuracy)} of "
        f"{one.comparisons:,} comparisons over {one.prompts:,} prompts."
    )


def skipped_line(skipped: Mapping[str, int], rows: int) -> str:
    """Return which rows were left out; empty if none was."""
    if not skipped:
        return ""
    total = sum(skipped.values())
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in skipped.items())
    return f"{total:,} of {rows:,} rows skipped: {reasons}."


def sampled_line(data: ScanData) -> str:
    """Return what the ranking rests on."""
    return (
        f"{data.sampled:,} of {data.comparisons:,} comparisons were attributed; "
        f"{data.filtered:,} are outside the length filter, {data.held_out:,} are of held-out "
        "prompts."
    )


def summary(record: ScanRecord) -> str:
    """Return the accuracy, what goes along with it, and the strongest groups."""
    page = TerminalWriter()
    page.line(f"PM {record.subject.pm}, SAE {record.subject.saes[0].name}, {record.data.file}")
    page.line(accuracy_line(record.overall))
    for line in (skipped_line(record.data.skipped, record.data.rows), sampled_line(record.data)):
        if line:
            page.wrapped(line)
    page.line()
    goes = "; ".join(
        f"{one.name} {one.spearman:+.2f} [{one.low:+.2f}, {one.high:+.2f}]"
        for one in record.correlations[:4]
    )
    if goes:
        page.wrapped(f"The difference of rewards goes along with (rank correlation): {goes}.")
        page.line()
    rows = [
        [
            str(rank),
            in_sigma(group.effect, record.sigma),
            figures.percent(group.moved),
            figures.percent(record.features[group.features[0]].frequency),
            name_of_group(record.features, group.features, width=_NAME),
        ]
        for rank, group in enumerate(record.groups[:SHOWN], start=1)
    ]
    page.table(["", "effect (sigma)", "moved", "in pairs", "group"], rows, roomy=True)
    if len(record.groups) > SHOWN:
        page.line(f"and {len(record.groups) - SHOWN} more groups")
    return page.text()


def in_sigma(figure: Figure, sigma: float) -> str:
    """Return a raw effect with its interval, in sigma, without its unit."""
    return figures.bare(figures.in_sigma(figure, sigma), most=3)


def name_of_group(
    features: Sequence[ScannedFeature], members: Sequence[int], *, width: int | None = None
) -> str:
    """Return the name of a group's first feature, and how many others there are."""
    more = f" and {len(members) - 1} more" if len(members) > 1 else ""
    return name(features[members[0]], width=width) + more


def name(feature: ScannedFeature, *, width: int | None = None) -> str:
    """Return a feature's label and index."""
    text = feature.label.text if feature.label else ""
    return feature_words.with_label(feature, text, width=width)
