"""Which records a release is judged by: whole ones, as written, that follow from their evidence."""

from __future__ import annotations

from pathlib import Path

from pm_audit.errors import AuditError, RecordError
from pm_audit.judging import require_sound, verify
from pm_audit.records import AuditRecord

_SHOWN = 3
_REMEDY = "`pm-audit verify` says where; write it again by auditing"


def read_believed(path: Path) -> AuditRecord:
    """Read a record that a release is judged by.

    Raises:
        RecordError: missing, torn, partial, changed after it was written, or not what its own
            evidence gives: whoever doctors a record decides what counts as a regression.

    """
    record = AuditRecord.read(path)
    require_whole(record, str(path))
    altered = [one.name for one in record.hypotheses if one.digest != one.computed_digest()]
    altered += [] if record.intact else ["what stands outside its hypotheses"]
    if altered:
        raise RecordError(
            f"{path}: {', '.join(altered)} was changed after the record was written, or holds no "
            f"digest; {_REMEDY}"
        )
    try:
        found = verify(record)
    except AuditError as error:
        raise RecordError(f"{path}: cannot be judged again: {error}; {_REMEDY}") from error
    if found:
        more = f"\n  and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        shown = "".join(f"\n  {line}" for line in found[:_SHOWN])
        raise RecordError(
            f"{path}: does not follow from its own evidence, so nothing can be compared with it; "
            f"{_REMEDY}{shown}{more}"
        )
    return record


def require_whole(record: AuditRecord, role: str) -> None:
    """Refuse a record that judged less than its manifest, even if it claims to be complete.

    Raises:
        RecordError: it is partial, or nothing can be computed from its evidence.

    """
    wanted = sorted((entry.name, check) for entry in record.manifest for check in entry.checks)
    judged = sorted((one.name, result.check) for one in record.hypotheses for result in one.checks)
    if not record.complete:
        raise RecordError(
            f"{role} is partial (complete: false); run every check and write it again"
        )
    if wanted != judged or len({one.name for one in record.hypotheses}) < len(record.hypotheses):
        raise RecordError(
            f"{role} does not hold each check of its manifest once; run every check and write it "
            "again"
        )
    for one in record.hypotheses:
        require_sound(one.evidence)
