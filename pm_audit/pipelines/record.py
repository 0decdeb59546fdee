"""The record of a run, put together from what was audited and what was found.

Nothing here imports torch: pytest's controller writes the record, and its workers audit.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, Self

from pm_audit.judging import settle
from pm_audit.records import (
    AuditRecord,
    Check,
    HypothesisRecord,
    ManifestEntry,
    MethodRecord,
    Record,
    SubjectRecord,
)
from pm_audit.spec import Hypothesis


class Auditor(Protocol):
    """Audits hypotheses on one subject: the pipeline's own, or one that a plug-in brings."""

    def audit(self, hypothesis: Hypothesis) -> HypothesisRecord:
        """Return the judged record of one hypothesis.

        Raises:
            AuditError: something that the user can fix.

        """

    @property
    def subject(self) -> SubjectRecord:
        """What is audited."""

    @property
    def method(self) -> MethodRecord:
        """Every setting that could change a figure."""

    @property
    def environment(self) -> Mapping[str, str]:
        """Versions and machine."""


class Surroundings(Record):
    """What was audited, how and where: the part of a record that no hypothesis owns."""

    subject: SubjectRecord
    method: MethodRecord
    environment: dict[str, str]

    @classmethod
    def of(cls, auditor: Auditor) -> Self:
        """Return what this auditor audits, how and where."""
        return cls(
            subject=auditor.subject,
            method=auditor.method,
            environment=dict(auditor.environment),
        )


def manifest(hypotheses: Iterable[Hypothesis]) -> tuple[ManifestEntry, ...]:
    """Return what a run sets out to judge: each check of each hypothesis."""
    return tuple(
        ManifestEntry(
            name=hypothesis.full_name,
            file=hypothesis.file,
            line=hypothesis.line,
            sha256=hypothesis.sha256,
            checks=Check.known(),
        )
        for hypothesis in hypotheses
    )


def assemble(
    surroundings: Surroundings,
    hypotheses: Iterable[Hypothesis],
    results: Sequence[HypothesisRecord],
    *,
    complete: bool = True,
) -> AuditRecord:
    """Return the record of a run, its q-values settled over the results.

    Args:
        surroundings: what was audited, how and where.
        hypotheses: what the run set out to judge.
        results: what it judged.
        complete: every check of the manifest was judged.

    """
    return AuditRecord(
        created=datetime.datetime.now(tz=datetime.UTC).isoformat(timespec="seconds"),
        complete=complete,
        subject=surroundings.subject,
        method=surroundings.method,
        environment=surroundings.environment,
        manifest=manifest(hypotheses),
        hypotheses=settle(results),
    ).sealed()
