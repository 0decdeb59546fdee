"""Refuse a record from which no report could be made, with the reason instead of a traceback.

A report reads what ``pm-audit verify`` reads: a row that is missing or a number that no PM gives
would stop it half-way.
"""

from __future__ import annotations

from collections.abc import Iterator

from pm_audit.errors import NumericalError, RecordError
from pm_audit.judging import require_sound
from pm_audit.records import AuditRecord, HypothesisRecord, Record

LARGEST = 1e30
"""Figures beyond it come from no PM, and sums of them would overflow."""


def require_readable(record: AuditRecord) -> None:
    """Check every hypothesis of a record.

    Raises:
        RecordError: evidence is torn, or a number is too large to be one.

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
