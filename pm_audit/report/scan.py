"""A scan in a terminal, and the rewards of a preference set as a table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from pm_audit.errors import RecordError
from pm_audit.records import Figure, write_atomically
from pm_audit.records.scan import Accuracy, ScanData, ScannedFeature, ScanRecord
from pm_audit.report import feature_words, figures
from pm_audit.report.formats import csv, parquet
from pm_audit.report.terminal_writer import TerminalWriter

SHOWN = 20
"""Groups of a terminal's table."""
_NAME = 44

TABLES = (".jsonl", ".csv", ".parquet")
"""Suffixes of a table of rewards."""

Cell = str | int | float


def write_rows(rows: Sequence[Mapping[str, Cell]], path: Path) -> None:
    """Write a table as its suffix says.

    Raises:
        RecordError: another suffix, no Parquet engine, or a place that cannot be written to.

    """
    require_table(path)
    if path.suffix == ".jsonl":
        write_atomically(path, "".join(f"{json.dumps(row)}\n" for row in rows))
        return
    import pandas as pd

    table = pd.DataFrame(rows)
    write_atomically(path, csv.text(table) if path.suffix == ".csv" else parquet.content(table))


def require_table(path: Path) -> None:
    """Refuse a file that no table is written to.

    Raises:
        RecordError: its suffix is none of ``TABLES``.

    """
    if path.suffix not in TABLES:
        raise RecordError(f"{path}: its name must end in {', '.join(TABLES)}")


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
            name_of_group(record, group.features, width=_NAME),
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


def name_of_group(record: ScanRecord, members: Sequence[int], *, width: int | None = None) -> str:
    """Return the first feature's name, and how many others there are."""
    more = f" and {len(members) - 1} more" if len(members) > 1 else ""
    return name(record.features[members[0]], width=width) + more


def name(feature: ScannedFeature, *, width: int | None = None) -> str:
    """Return a feature's label and index."""
    text = feature.label.text if feature.label else ""
    return feature_words.with_label(feature, text, width=width)
