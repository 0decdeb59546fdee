"""The hypotheses as CSV whose text cells no spreadsheet reads as a formula."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pm_audit.report import sanitise, tables
from pm_audit.report.formats import ReportFormat

if TYPE_CHECKING:
    import pandas as pd


def text(table: pd.DataFrame) -> str:
    """Return any table as formula-safe CSV; numbers stay as they are."""
    safe = table.copy()
    for column in safe.columns:
        safe[column] = [
            sanitise.csv(cell) if isinstance(cell, str) else cell for cell in safe[column]
        ]
    safe.columns = [sanitise.csv(str(column)) for column in safe.columns]
    return str(safe.to_csv(index=False, lineterminator="\n"))


FORMAT = ReportFormat(".csv", lambda record, _: text(tables.frame(record)))
