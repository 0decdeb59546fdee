"""The rewards of a preference set as a table, a row a comparison."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from pm_audit.errors import RecordError
from pm_audit.records import write_atomically
from pm_audit.report.formats import csv, parquet

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
