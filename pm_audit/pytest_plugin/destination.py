"""Where a run's record and its page go.

A run of a few hypotheses, or one that was cut short, never replaces a record that holds a check
which it did not judge itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pm_audit.errors import InvalidSpec, RecordError
from pm_audit.records import AuditRecord, Check, require_ours, require_writable
from pm_audit.spec import Hypothesis
from pm_audit.spec.project_files import yaml_files


@dataclass(frozen=True, slots=True)
class Destination:
    """The record's path as configured, and the one next to it that a smaller run takes."""

    root: Path
    record: Path
    """As configured, relative to the root or absolute."""
    named: bool
    """The command line names it, so that this run writes there in any case."""
    folder: Path
    """The project's hypotheses."""

    @property
    def partial(self) -> Path:
        """Where a smaller run writes."""
        return self.record.with_name(f"{self.record.stem}.partial{self.record.suffix}")

    def examine(self, *, baseline: Path | None) -> None:
        """Refuse, before anything is audited, places that could not be written to afterwards.

        Raises:
            RecordError: one of them cannot be written, or is the baseline.

        """
        for path in (self.record,) if self.named else (self.record, self.partial):
            for place in (path, page(path)):
                require_writable(self.root / place)
                require_ours(self.root / place, place)
                if baseline is not None and _same(self.root / place, self.root / baseline):
                    raise RecordError(
                        f"{baseline} is a file that this run may write, and a run compared with "
                        "itself has no regression; name another --pm-audit-baseline"
                    )

    def place(self, record: AuditRecord, hypotheses: Sequence[Hypothesis]) -> tuple[Path, str]:
        """Return where a record goes, and why if it is not the configured place."""
        if self.named or self._whole(record, hypotheses):
            return self.record, ""
        kept = self._kept(record)
        return (self.partial, kept) if kept else (self.record, "")

    def _whole(self, record: AuditRecord, hypotheses: Sequence[Hypothesis]) -> bool:
        """Whether a complete run audited every file of the project's folder."""
        if not record.complete:
            return False
        try:
            files = yaml_files(self.root / self.folder, self.root)
        except InvalidSpec:
            return False
        audited = {(self.root / hypothesis.file).resolve() for hypothesis in hypotheses}
        return {file.resolve() for file in files} <= audited

    def _kept(self, record: AuditRecord) -> str:
        """Return why the record at the configured place is kept; empty if it may be replaced."""
        path = self.root / self.record
        if not path.exists():
            return ""
        try:
            standing = AuditRecord.read(path)
        except RecordError:
            return f"{self.record} could not be read and was left as it was"
        if self._holds_more(standing, record):
            return f"{self.record} holds checks that this run did not judge and was left as it was"
        return ""

    def _holds_more(self, standing: AuditRecord, record: AuditRecord) -> bool:
        if not record.complete:
            return not _checks(standing) <= _checks(record)
        # a hypothesis that left its file, or whose file is gone, is nothing to keep
        audited = {entry.file for entry in record.manifest}
        others = {one.file for one in standing.hypotheses} - audited
        return any((self.root / file).is_file() for file in others)


def page(record: Path) -> Path:
    """Return where the HTML page of a record goes: next to it, under the same name."""
    usual = record.with_suffix(".html")
    return usual if usual != record else record.with_name(f"{record.name}.html")


def _checks(record: AuditRecord) -> set[tuple[str, Check]]:
    return {(one.name, result.check) for one in record.hypotheses for result in one.checks}


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()
