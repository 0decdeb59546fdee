"""What a run amounts to: its record, whether it is complete, and why it does not pass."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from _pytest.terminal import TerminalReporter

from pm_audit.errors import AuditError, InvalidSpec, RecordError
from pm_audit.pipelines.record import assemble, manifest
from pm_audit.pytest_plugin.check_reports import CheckReports
from pm_audit.pytest_plugin.destination import page
from pm_audit.pytest_plugin.exit_status import Stance, exit_status, reasons_to_fail, stances
from pm_audit.pytest_plugin.founded import unfounded
from pm_audit.pytest_plugin.ledger import Ledger
from pm_audit.pytest_plugin.plan import Plan
from pm_audit.pytest_plugin.shared_folder import Notes
from pm_audit.records import (
    AuditRecord,
    Check,
    Departure,
    HypothesisRecord,
    Unplanned,
    write_atomically,
)
from pm_audit.report import changes, files, github, markdown, sanitise, terminal
from pm_audit.report.changes import Comparison
from pm_audit.report.over_time.comment import comment
from pm_audit.report.over_time.notes import Note, read_notes
from pm_audit.spec import today

_UNFINISHED = (
    pytest.ExitCode.INTERRUPTED,
    pytest.ExitCode.INTERNAL_ERROR,
    pytest.ExitCode.USAGE_ERROR,
)
_LISTED = 10
"""Most checks that were not judged as planned that a terminal lists."""


class RunOutcome:
    """Gathers reports while the run goes on, and settles it at the end."""

    def __init__(self, config: pytest.Config, notes: Notes, ledger: Ledger) -> None:
        self._config = config
        self._notes = notes
        self._ledger = ledger
        self.reports = CheckReports()
        self.collection_failed = False
        self.record: AuditRecord | None = None
        self.reasons: tuple[str, ...] | None = None
        """Why the run does not pass; None until it is settled."""
        self.page: Path | None = None
        self._comparison: Comparison | None = None
        self._reviewed: tuple[Note, ...] = ()
        """A reviewer's notes on the record."""
        self._label_failure: str | None = None
        self._lines: list[str] = []
        """What the terminal shows below the summary."""
        self._annotations: list[str] = []

    def finish(self, plan: Plan, reported: int) -> int:
        """Write record and page, compare the record with the baseline, and return the status.

        Args:
            plan: what the run set out to do.
            reported: the exit status of pytest; it is never improved.

        """
        if reported == pytest.ExitCode.USAGE_ERROR:
            self.reasons = ("the command line was refused",)
            return reported
        for hypothesis in plan.hypotheses:
            self._lines += [f"warning: {warning}" for warning in hypothesis.warnings]
        try:
            self.reasons = self._settle(plan, reported)
        except AuditError as error:
            self._lines.append(f"ERROR: {error}")
            self.reasons = (str(error).splitlines()[0],)
        try:
            self._comment(plan, self.reasons)
        except AuditError as error:
            self._lines.append(f"ERROR: {error}")
            self.reasons = (*self.reasons, "the comment could not be written")
        status = exit_status(reported, self.reasons)
        if status != reported:
            self._lines += [f"exit status {int(status)}: {reason}" for reason in self.reasons]
        return status

    def _settle(self, plan: Plan, reported: int) -> tuple[str, ...]:
        self.record = record = self._build(plan, reported)
        if record is None:
            self._lines.append("no check was judged, so no record was written")
            return reasons_to_fail(None, None, plan.policy, today=today())
        self._write(plan, record)
        self._lines += plan.gate.update(record)
        comparison = self._compare(plan, record) if record.complete else None
        self._comparison = comparison
        self._annotations = github.commands(record, comparison)
        return (
            *reasons_to_fail(record, comparison, plan.policy, today=today()),
            *unfounded(record, plan.hypotheses),
            *filter(None, [self._label_failure]),
        )

    def _build(self, plan: Plan, reported: int) -> AuditRecord | None:
        surroundings = self._notes.read_surroundings()
        results = [
            found for one in plan.hypotheses if (found := self._result(one.full_name)) is not None
        ]
        if surroundings is None or not results:
            return None
        planned = manifest(plan.hypotheses)
        judged_all = self.reports.judged.keys() == {
            (entry.name, check) for entry in planned for check in entry.checks
        }
        complete = judged_all and not self.collection_failed and reported not in _UNFINISHED
        notes = plan.labelling.examine(surroundings.subject.saes)
        self._lines += [f"warning: {note}" for note in notes]
        labelled, self._label_failure = plan.labelling.label(results)
        record = assemble(surroundings, plan.hypotheses, labelled, complete=complete)
        unplanned = self.reports.unplanned(
            planned, self._notes.read_selected(), _stances(plan, record)
        )
        self._lines += _sentences(unplanned)
        return record.model_copy(update={"not_as_planned": unplanned}).sealed()

    def _result(self, name: str) -> HypothesisRecord | None:
        """Return what was found of a hypothesis, with the checks that were judged."""
        judged = {check: sha for (of, check), sha in self.reports.judged.items() if of == name}
        if not judged:
            return None
        entry = self._ledger.find(name)
        if entry is None or entry.result is None or set(judged.values()) != {entry.sha256}:
            raise RecordError(
                f"{name}: its checks were judged on results that do not agree; run it again"
            )
        kept = tuple(result for result in entry.result.checks if result.check in judged)
        return entry.result.model_copy(update={"checks": kept})

    def _write(self, plan: Plan, record: AuditRecord) -> None:
        place, kept = plan.destination.place(record, plan.hypotheses)
        written = plan.root / place
        record.write(written)
        self._lines.append(f"record: {written}{f' ({kept})' if kept else ''}")
        self.page = page(written)
        self._reviewed = self._notes_on(written, record)
        files.write(record, self.page, notes=self._reviewed)
        self._summarise(markdown.render(record))
        self._config.hook.pytest_pm_audit_record(
            config=self._config, record=record.model_copy(deep=True)
        )

    def _compare(self, plan: Plan, record: AuditRecord) -> Comparison | None:
        comparison = plan.gate.compare(record)
        if comparison is not None:
            self._lines += ["", *changes.terminal_lines(comparison)]
            self._summarise(changes.markdown_page(comparison))
        return comparison

    def _notes_on(self, path: Path, record: AuditRecord) -> tuple[Note, ...]:
        """Return the notes next to a record, with a warning if one is about nothing in it."""
        try:
            return read_notes(path, record)
        except InvalidSpec as error:
            self._lines += [f"warning: {problem}" for problem in error.problems]
            return read_notes(path)

    def _comment(self, plan: Plan, reasons: tuple[str, ...]) -> None:
        """Write a pull request's comment, if the command line names a file for it."""
        if not plan.comment:
            return
        path, baseline, notes = plan.root / plan.comment, None, self._reviewed
        if self._comparison is not None and plan.settings.baseline is not None:
            of_baseline = plan.root / plan.settings.baseline
            baseline = AuditRecord.read(of_baseline)
            notes = (*self._notes_on(of_baseline, baseline), *notes)
        text = comment(
            self.record,
            baseline=baseline,
            comparison=self._comparison,
            reasons=reasons,
            notes=notes,
        )
        write_atomically(path, text)
        self._lines.append(f"comment: {path}")

    def _summarise(self, text: str) -> None:
        """Append to the job's summary, if the run is a job on GitHub."""
        summary = os.environ.get("GITHUB_STEP_SUMMARY")
        if not summary:
            return
        try:
            with os.fdopen(_opened_at_once(summary), "a", encoding="utf-8") as stream:
                stream.write(text)
        except (OSError, ValueError) as error:
            self._lines.append(f"warning: GITHUB_STEP_SUMMARY cannot be written: {error}")

    def show(self, reporter: TerminalReporter) -> None:
        """Print the summary, the gate's findings and GitHub's annotations."""
        if self.record is not None or self._lines:
            reporter.section("preference model audit")
        if self.record is not None:
            every = reporter.config.get_verbosity() > 0
            reporter.write_line(terminal.summary(self.record, every_feature=every))
        for line in self._lines:
            reporter.write_line(sanitise.terminal_lines(line))
        for line in self._annotations if os.environ.get("GITHUB_ACTIONS") == "true" else ():
            reporter.write_line(line)


def _opened_at_once(path: str) -> int:
    """Open a file to append to it, and never wait for a FIFO without a reader."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0)
    return os.open(path, flags, 0o666)


def _stances(plan: Plan, record: AuditRecord) -> dict[tuple[str, Check], Stance]:
    known = frozenset(
        (one.name, result.check)
        for one in record.hypotheses
        for result in one.checks
        if plan.known(one, result.check)
    )
    found = stances(record, plan.policy, today=today(), known=known)
    return {(hypothesis.name, check): stance for hypothesis, check, stance in found}


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
