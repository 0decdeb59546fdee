"""The release gate of a run: its files are looked at before the audit and used after it.

An audit takes minutes, so whatever would stop its end stops its start: a record that cannot be
written, a baseline that is missing, torn or partial, or that is the run's own record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pm_audit.errors import RecordError
from pm_audit.records import AuditRecord, require_writable
from pm_audit.report.changes import Comparison
from pm_audit.report.files import write_record
from pm_audit.spec import Hypothesis


@dataclass(frozen=True, slots=True)
class Gate:
    """Where a run's record goes, and what it is held against."""

    root: Path
    """The project's root; the files below are relative to it or absolute."""
    record: Path
    baseline: Path | None
    updating: bool
    """Write the run, if complete, as the new baseline."""

    def examine(self, hypotheses: Sequence[Hypothesis]) -> None:
        """Refuse, before anything is audited, what could not be gated afterwards.

        Raises:
            RecordError: the record cannot be written, or the baseline cannot be used.

        """
        require_writable(self._at(self.record))
        if self.baseline is None:
            if self.updating:
                raise RecordError("--pm-audit-update-baseline needs --pm-audit-baseline FILE")
            return
        path = self._at(self.baseline)
        if path.resolve() == self._at(self.record).resolve():
            raise RecordError(
                f"{self.baseline} is the record that this run writes, and a run held against "
                "itself has no regression; name another --pm-audit-baseline"
            )
        if self.updating:
            require_writable(path)
            self._refuse_to_shrink(path, hypotheses)
        else:
            self._accepted(path)

    def write_record(self, record: AuditRecord) -> Path:
        """Write the run's record and return where."""
        path = self._at(self.record)
        write_record(record, path)
        return path

    def update(self, record: AuditRecord) -> Path | None:
        """Write a complete run as the new baseline where that was asked for."""
        if self.baseline is None or not self.updating:
            return None
        path = self._at(self.baseline)
        write_record(record, path)
        return path

    def compare(self, record: AuditRecord) -> Comparison | None:
        """Hold a complete run against the baseline; None where there is none to be held against."""
        if self.baseline is None or self.updating:
            return None
        from pm_audit.compare import compare  # only a gated run needs it

        return compare(self._accepted(self._at(self.baseline)), record)

    def _accepted(self, path: Path) -> AuditRecord:
        from pm_audit.compare import read_unaltered

        return read_unaltered(path)

    def _refuse_to_shrink(self, path: Path, hypotheses: Sequence[Hypothesis]) -> None:
        """Refuse to drop from the baseline what is still in the project and was not asked about."""
        if not path.exists():
            return
        try:
            old = AuditRecord.read(path)
        except RecordError as error:
            raise RecordError(
                f"{error}\n{path} was not overwritten; move it away to write a new baseline"
            ) from error
        names = {hypothesis.full_name for hypothesis in hypotheses}
        audited = {hypothesis.file for hypothesis in hypotheses}
        dropped = [
            f"{one.name} ({one.file})"
            for one in old.hypotheses
            if one.name not in names and one.file not in audited and self._at(one.file).is_file()
        ]
        if dropped:
            raise RecordError(
                f"{path} holds {', '.join(dropped)}, which this run does not audit; audit the "
                "whole folder to update it, or name another --pm-audit-baseline"
            )

    def _at(self, path: Path | str) -> Path:
        return self.root / path
