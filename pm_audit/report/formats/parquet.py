"""The hypotheses as Parquet, texts exactly as they are."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from pm_audit.errors import RecordError
from pm_audit.report import tables
from pm_audit.report.formats import ReportFormat

if TYPE_CHECKING:
    import pandas as pd


def content(table: pd.DataFrame) -> bytes:
    """Return any table as Parquet.

    Raises:
        RecordError: pandas has no Parquet engine.

    """
    buffer = io.BytesIO()
    try:
        table.to_parquet(buffer, index=False)
    except ImportError:
        raise RecordError(
            "Parquet needs an engine that pandas can use; `pip install pyarrow`"
        ) from None
    return buffer.getvalue()


FORMAT = ReportFormat(".parquet", lambda record, _: content(tables.frame(record)))
