"""What was audited, how and where: the same in every process of a run."""

from __future__ import annotations

from pm_audit.records import MethodRecord, Record, SubjectRecord


class Surroundings(Record):
    """The part of a record that no hypothesis owns."""

    subject: SubjectRecord
    method: MethodRecord
    environment: dict[str, str]
