"""A record for its views: refused if it is torn, judged again, with a notice of what differs.

A missing row, or a number that no PM gives, would stop a report half-way.  A record that was
changed by hand is shown with a notice.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pm_audit.errors import AuditError, NumericalError, RecordError
from pm_audit.judging import require_sound, verify
from pm_audit.records import AuditRecord, HypothesisRecord, Record

LARGEST = 1e30
"""No PM gives larger figures, and sums of them would overflow."""


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


def require_readable(record: AuditRecord) -> None:
    """Refuse a record from which no report can be made.

    Raises:
        RecordError: evidence is torn, or a number is too large for a figure.

    """
    for hypothesis in record.hypotheses:
        try:
            require_sound(hypothesis.evidence)
        except (NumericalError, RecordError) as error:
            raise RecordError(f"{_place(hypothesis)}: {error}") from error
        for name, number in _numbers(hypothesis):
            if not abs(number) <= LARGEST:
                raise RecordError(
                    f"{_place(hypothesis)}: {name} is {number:g}, which no audit writes; the "
                    "record is torn, audit again"
                )


def _place(hypothesis: HypothesisRecord) -> str:
    return f"{hypothesis.file}:{hypothesis.line}: {hypothesis.name}"


def _numbers(value: object, name: str = "") -> Iterator[tuple[str, float]]:
    """Yield every number of a record with the name of its field."""
    if isinstance(value, Record):
        for field in type(value).model_fields:
            yield from _numbers(getattr(value, field), field)
    elif isinstance(value, tuple):
        for inner in value:
            yield from _numbers(inner, name)
    elif isinstance(value, float):
        yield name, value
