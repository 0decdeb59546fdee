"""A record for its views: judged again first, with a notice of what does not agree.

A record that was changed by hand is shown with a notice.  What ``verify`` cannot judge is refused
with the same words.
"""

from __future__ import annotations

from pathlib import Path

from pm_audit.errors import AuditError, RecordError
from pm_audit.judging import verify
from pm_audit.records import AuditRecord


def read_viewed(path: Path) -> tuple[AuditRecord, tuple[str, ...]]:
    """Return a record and the notices that stand above it.

    Raises:
        RecordError: it cannot be read, or nothing can be computed from it.

    """
    record = AuditRecord.read(path)
    try:
        return record, notices(record)
    except AuditError as error:
        raise RecordError(f"{path}: {error}") from error


def notices(record: AuditRecord) -> tuple[str, ...]:
    """Return what a reader must know about a record that is not as a run wrote it.

    Raises:
        AuditError: nothing can be computed from it.

    """
    found = verify(record)
    if not found:
        return ()
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return (
        f"This record is not what this version of pm_audit would write: {found[0]}{more}. "
        "`pm-audit verify` lists all; no release should rest on it.",
    )
