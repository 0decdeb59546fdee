"""The record as a notebook shows it: one small table, without style or script of the page."""

from __future__ import annotations

from pm_audit.records import AuditRecord
from pm_audit.report import findings, wording
from pm_audit.report.html.page import environment
from pm_audit.report.viewed import require_readable


def table(record: AuditRecord) -> str:
    """Return a row a hypothesis: gap, shares of it, residual, outcomes and the features' words.

    Raises:
        RecordError: the record is torn.

    """
    require_readable(record)
    rows = [(one, findings.finding(one), one.outcomes) for one in findings.by_size(record)]
    return (
        environment()
        .get_template("notebook.html.j2")
        .render(record=record, rows=rows, tally=wording.tally(record))
    )
