"""The hypotheses as Parquet, texts exactly as they are."""

from __future__ import annotations

import io
from collections.abc import Sequence

from pm_audit.errors import RecordError
from pm_audit.records import AuditRecord
from pm_audit.report import tables
from pm_audit.report.format import ReportFormat


def render(record: AuditRecord, _: Sequence[str] = ()) -> bytes:
    """Return the table's bytes.

    Raises:
        RecordError: pandas has no Parquet engine.

    """
    buffer = io.BytesIO()
    try:
        tables.frame(record).to_parquet(buffer, index=False)
    except ImportError:
        raise RecordError(
            "a .parquet report needs an engine that pandas can use; `pip install pyarrow`"
        ) from None
    return buffer.getvalue()


FORMAT = ReportFormat(".parquet", render)
