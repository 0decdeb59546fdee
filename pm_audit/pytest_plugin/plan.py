"""What a run sets out to do, read before anything is collected, and where its results go."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pm_audit.errors import RecordError
from pm_audit.pipelines.labels import Labelling
from pm_audit.pytest_plugin.destination import Destination
from pm_audit.pytest_plugin.exit_status import Policy
from pm_audit.pytest_plugin.gate import Gate, Known
from pm_audit.records import require_ours, require_writable
from pm_audit.report.over_time.notes import read_notes
from pm_audit.spec import Hypothesis, Settings


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The settings and hypotheses of a run, and the policy that its record must meet."""

    root: Path
    settings: Settings
    hypotheses: tuple[Hypothesis, ...]
    policy: Policy
    record_named: bool
    """The command line names the record."""
    updating: bool
    """The run, if complete, becomes the baseline."""
    comment: str | None = None
    """Where a pull request's comment goes, from the root or absolute; None for nowhere."""

    @cached_property
    def destination(self) -> Destination:
        """Where record and page go."""
        return Destination(
            root=self.root,
            record=self.settings.record,
            named=self.record_named,
            folder=self.settings.hypotheses,
        )

    @cached_property
    def gate(self) -> Gate:
        """The baseline that the record is compared with."""
        return Gate(
            root=self.root,
            baseline=self.settings.baseline,
            mode=self.settings.gate,
            updating=self.updating,
            inconclusive_passes=self.policy.inconclusive_passes,
        )

    @cached_property
    def known(self) -> Known:
        """Which checks that are not passed the baseline excuses."""
        baseline = self.settings.baseline
        path = None if baseline is None else self.root / baseline
        return Known(path, mode=self.settings.gate, updating=self.updating)

    @cached_property
    def labelling(self) -> Labelling:
        """How the project labels features."""
        return Labelling.of(self.settings, self.root)

    def examine(self) -> None:
        """Refuse, before anything is audited, what could not be written or compared afterwards.

        Raises:
            AuditError: the record or the comment cannot be written, the baseline cannot be used,
                or the labels or a reviewer's notes cannot be read.

        """
        _ = self.labelling
        self.destination.examine(baseline=self.settings.baseline)
        self.gate.examine(self.hypotheses)
        read_notes(self.root / self.settings.record)
        if self.comment is not None:
            if not self.comment:
                raise RecordError("--pm-audit-comment is empty; name a file, or leave it out")
            of_run = (self.settings.record, self.settings.baseline)
            places = [(self.root / one).resolve() for one in of_run if one is not None]
            if (self.root / self.comment).resolve() in places:
                raise RecordError(
                    f"{self.comment}: is the run's record or baseline and would be replaced by the "
                    "comment; name another file"
                )
            require_writable(self.root / self.comment)
            require_ours(self.root / self.comment, Path(self.comment))
