"""What a run amounts to: its record, whether it is complete, and why it does not pass."""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from _pytest.terminal import TerminalReporter

from pm_audit.errors import AuditError, RecordError
from pm_audit.judging import settle
from pm_audit.pytest_plugin import intake
from pm_audit.pytest_plugin.check_reports import CheckReports
from pm_audit.pytest_plugin.destination import page
from pm_audit.pytest_plugin.exit_status import Stance, exit_status, reasons_to_fail, stances
from pm_audit.pytest_plugin.founded import unfounded
from pm_audit.records import AuditRecord, Check, Departure, HypothesisRecord, Unplanned
from pm_audit.report import changes, files, github, markdown, sanitise, terminal
from pm_audit.report.changes import Comparison
from pm_audit.spec import today

if TYPE_CHECKING:
    from pm_audit.pytest_plugin.run import AuditRun

_UNFINISHED = (
    pytest.ExitCode.INTERRUPTED,
    pytest.ExitCode.INTERNAL_ERROR,
    pytest.ExitCode.USAGE_ERROR,
)
_LISTED = 10
"""Most checks that were not judged as planned that a terminal lists."""


class RunOutcome:
    """Gathers reports while the run goes on, and settles it at the end."""

    def __init__(self, run: AuditRun) -> None:
        self._run = run
        self.reports = CheckReports()
        self.collection_failed = False
        self.record: AuditRecord | None = None
        self.reasons: tuple[str, ...] | None = None
        """Why the run does not pass; None until it is settled."""
        self.page: Path | None = None
        self.notes: list[str] = []
        self._annotations: list[str] = []

    def finish(self, reported: int) -> int:
        """Write record and page, hold the record against the baseline, and return the status.

        Args:
            reported: the exit status as pytest has it; it is never made a better one.

        """
        if reported == pytest.ExitCode.USAGE_ERROR:
            self.reasons = ("the command line was refused",)
            return reported
        for hypothesis in self._run.hypotheses:
            self.notes += [f"warning: {warning}" for warning in hypothesis.warnings]
        try:
            self.reasons = self._settle(reported)
        except AuditError as error:
            self.notes.append(f"ERROR: {error}")
            self.reasons = (str(error).splitlines()[0],)
        status = exit_status(reported, self.reasons)
        if status != reported:
            self.notes += [f"exit status {int(status)}: {reason}" for reason in self.reasons]
        return status

    def _settle(self, reported: int) -> tuple[str, ...]:
        self.record = self._build(reported)
        comparison = None
        if self.record is None:
            self.notes.append("no check was judged, so no record was written")
        else:
            self._write(self.record)
            self.notes += self._run.gate().update(self.record)
            if self.record.complete:
                comparison = self._gate(self.record)
            self._annotations = github.commands(self.record, comparison)
        reasons = reasons_to_fail(self.record, comparison, self._run.policy, today=today())
        return (*reasons, *unfounded(self.record, self._run.hypotheses)) if self.record else reasons

    def _build(self, reported: int) -> AuditRecord | None:
        surroundings = intake.read_surroundings(self._run.shared)
        judged = self.reports.judged
        results = [
            found for h in self._run.hypotheses if (found := self._result(h.full_name, judged))
        ]
        if surroundings is None or not results:
            return None
        manifest = intake.manifest(self._run.hypotheses)
        wanted = {(entry.name, check) for entry in manifest for check in entry.checks}
        complete = (
            wanted == judged.keys() and not self.collection_failed and reported not in _UNFINISHED
        )
        record = AuditRecord(
            created=datetime.datetime.now(tz=datetime.UTC).isoformat(timespec="seconds"),
            complete=complete,
            subject=surroundings.subject,
            method=surroundings.method,
            environment=surroundings.environment,
            manifest=manifest,
            hypotheses=settle(results),
        )
        unplanned = self.reports.unplanned(
            manifest, intake.read_selected(self._run.shared), self._stances(record)
        )
        self.notes += _sentences(unplanned)
        return record.model_copy(update={"not_as_planned": unplanned}).sealed()

    def _stances(self, record: AuditRecord) -> dict[tuple[str, Check], Stance]:
        known = frozenset(
            (one.name, result.check)
            for one in record.hypotheses
            for result in one.checks
            if self._run.known(one, result.check)
        )
        found = stances(record, self._run.policy, today=today(), known=known)
        return {(hypothesis.name, check): stance for hypothesis, check, stance in found}

    def _result(self, name: str, every: Mapping[tuple[str, Check], str]) -> HypothesisRecord | None:
        judged = {check: sha for (of, check), sha in every.items() if of == name}
        if not judged:
            return None
        entry = self._run.ledger.find(name)
        if entry is None or entry.result is None or set(judged.values()) != {entry.sha256}:
            raise RecordError(
                f"{name}: its checks were judged on results that do not agree; run it again"
            )
        kept = tuple(result for result in entry.result.checks if result.check in judged)
        return entry.result.model_copy(update={"checks": kept})

    def _write(self, record: AuditRecord) -> None:
        place, kept = self._run.destination.place(record, self._run.hypotheses)
        written = self._run.gate(place).write_record(record)
        self.notes.append(f"record: {written}{f' ({kept})' if kept else ''}")
        files.write(record, page(written))
        self.page = page(written)
        self._summarise(markdown.render(record))
        self._run.config.hook.pytest_pm_audit_record(
            config=self._run.config, record=record.model_copy(deep=True)
        )

    def _summarise(self, text: str) -> None:
        """Append to the job's summary, where the run is a job on GitHub."""
        summary = os.environ.get("GITHUB_STEP_SUMMARY")
        if not summary:
            return
        try:
            with os.fdopen(_opened_at_once(summary), "a", encoding="utf-8") as stream:
                stream.write(text)
        except (OSError, ValueError) as error:
            self.notes.append(f"warning: GITHUB_STEP_SUMMARY cannot be written: {error}")

    def _gate(self, record: AuditRecord) -> Comparison | None:
        comparison = self._run.gate().compare(record)
        if comparison is None:
            return None
        self.notes += ["", *changes.terminal_lines(comparison)]
        self._summarise(changes.markdown_page(comparison))
        return comparison

    def show(self, reporter: TerminalReporter) -> None:
        """Print the summary, the gate's findings and GitHub's annotations."""
        if self.record is not None:
            reporter.section("preference model audit")
            every = reporter.config.get_verbosity() > 0
            reporter.write_line(terminal.summary(self.record, every_feature=every))
        elif self.notes:
            reporter.section("preference model audit")
        for note in self.notes:
            reporter.write_line(sanitise.terminal_lines(note))
        for line in self._annotations if os.environ.get("GITHUB_ACTIONS") == "true" else ():
            reporter.write_line(line)


def _opened_at_once(path: str) -> int:
    """Open a file to append to it, and never wait for a FIFO that nobody reads."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0)
    return os.open(path, flags, 0o666)


def _sentences(unplanned: Sequence[Unplanned]) -> list[str]:
    """Return a line for each check that was selected and not judged, or reported otherwise."""
    listed = [one for one in unplanned if one.departure is not Departure.NOT_SELECTED]
    lines = [
        f"not as planned: {one.name}/{one.check}: {one.departure}"
        + (f": {one.reason}" if one.reason else "")
        for one in listed[:_LISTED]
    ]
    if len(listed) > _LISTED:
        lines.append(f"not as planned: {len(listed) - _LISTED} further checks, see the record")
    return lines
