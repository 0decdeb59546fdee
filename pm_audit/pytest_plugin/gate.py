"""The release gate of a run: its baseline is examined before the audit and used after it.

An audit takes minutes, so what would fail at its end is refused at its start: a baseline that is
missing, torn or partial, or that cannot be written (``destination`` examines the record's place).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pm_audit.errors import AuditError, RecordError
from pm_audit.records import AuditRecord, Check, HypothesisRecord, require_writable
from pm_audit.report import changes
from pm_audit.report.changes import ChangeKind, Comparison
from pm_audit.spec import GateMode, Hypothesis


class Known:
    """Which checks that are not passed the baseline excuses."""

    def __init__(self, baseline: Path | None, *, mode: GateMode, updating: bool) -> None:
        self._baseline = baseline
        self._mode = mode
        self._updating = updating

    def __call__(self, hypothesis: HypothesisRecord, check: Check) -> bool:
        """Whether a check that is not passed is known; a run that writes the baseline accepts it.

        Raises:
            RecordError: the baseline cannot be read any more.

        """
        if self._mode is not GateMode.REGRESSIONS:
            return False
        old = self._hypotheses.get(hypothesis.name)
        if self._updating or old is None:
            return self._updating
        from pm_audit.release import known_checks

        return check in known_checks(old, hypothesis)

    @cached_property
    def _hypotheses(self) -> dict[str, HypothesisRecord]:
        # examined when the session started, and again before the exit status rests on it
        if self._baseline is None or self._updating:
            return {}
        return {one.name: one for one in AuditRecord.read(self._baseline).hypotheses}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What a run's record is compared with."""

    root: Path
    """The project's root."""
    baseline: Path | None
    """From the root, or absolute."""
    mode: GateMode = GateMode.ABSOLUTE
    updating: bool = False
    """Write the run, if complete, as the new baseline."""
    inconclusive_passes: bool = False
    """An inconclusive check does not fail the run, with or without a baseline."""

    def examine(self, hypotheses: Sequence[Hypothesis]) -> None:
        """Refuse, before anything is audited, what could not be gated afterwards.

        Raises:
            RecordError: the baseline cannot be used, or is missing although the mode needs one.

        """
        if self.baseline is None:
            if self.updating:
                raise RecordError("--pm-audit-update-baseline needs --pm-audit-baseline FILE")
            if self.mode is GateMode.REGRESSIONS:
                raise RecordError(
                    "--pm-audit-gate regressions compares a run with a baseline, and none is "
                    "named; add --pm-audit-baseline FILE, which --pm-audit-update-baseline writes"
                )
            return
        path = self._at(self.baseline)
        if self.updating:
            require_writable(path)
            self._refuse_to_shrink(path, hypotheses)
        else:
            self._accepted(path)

    def update(self, record: AuditRecord) -> list[str]:
        """Write a complete run as the new baseline, if the command line says so.

        Returns:
            What the old baseline holds and the new one does not, and what is worse.

        """
        if self.baseline is None or not self.updating:
            return []
        path = self._at(self.baseline)
        if not record.complete:
            return [f"baseline not written: only a complete run becomes one; {path} is as it was"]
        replaced = self._replaced(path, record)
        record.write(path)
        return [f"baseline written: {path}", *replaced]

    def _replaced(self, path: Path, record: AuditRecord) -> list[str]:
        from pm_audit.release import compare

        if not path.exists():
            return []
        try:
            comparison = compare(AuditRecord.read(path), record, gate=self.mode)
        except AuditError as error:
            return [f"the changes are unknown, because the old baseline proves nothing: {error}"]
        found = [change for change in changes.ordered(comparison) if change.regression]
        return [
            f"{'dropped' if change.kind is ChangeKind.HYPOTHESIS_GONE else 'accepted'}: "
            f"{change.hypothesis}{f' ({change.place})' if change.place else ''}: {change.kind}"
            + ("" if change.kind is ChangeKind.HYPOTHESIS_GONE else f": {change.message}")
            for change in found
        ]

    def compare(self, record: AuditRecord) -> Comparison | None:
        """Return the changes from the baseline to a complete run; None without a baseline."""
        if self.baseline is None or self.updating:
            return None
        from pm_audit.release import compare  # only a gated run needs it

        return compare(
            self._accepted(self._at(self.baseline)),
            record,
            gate=self.mode,
            inconclusive_passes=self.inconclusive_passes,
        )

    def _accepted(self, path: Path) -> AuditRecord:
        from pm_audit.release import read_believed

        if not os.path.lexists(path):
            raise RecordError(
                f"{path}: no such record; audit the PM that you released with "
                "--pm-audit-update-baseline to write it"
            )
        return read_believed(path)

    def _refuse_to_shrink(self, path: Path, hypotheses: Sequence[Hypothesis]) -> None:
        """Refuse to drop a hypothesis of the baseline that is in the project and not audited."""
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
