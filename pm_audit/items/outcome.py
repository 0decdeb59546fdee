"""What a run amounts to: its record, whether it is complete, and its exit status."""

from __future__ import annotations

import datetime
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from _pytest.terminal import TerminalReporter

from pm_audit.errors import AuditError, RecordError
from pm_audit.items import intake
from pm_audit.records import (
    AuditRecord,
    Check,
    HypothesisRecord,
)
from pm_audit.report import changes, github, markdown, sanitise, terminal
from pm_audit.report.junit import PREFIX
from pm_audit.verdict import settle

if TYPE_CHECKING:
    from pm_audit.items.run import AuditRun

_UNFINISHED = (
    pytest.ExitCode.INTERRUPTED,
    pytest.ExitCode.INTERNAL_ERROR,
    pytest.ExitCode.USAGE_ERROR,
)


class RunOutcome:
    """Gathers reports while the run goes on, and settles it at the end."""

    def __init__(self, run: AuditRun) -> None:
        self._run = run
        self._judged: dict[tuple[str, Check], str] = {}
        """Hash of the result that each judged check rested on."""
        self._started = time.monotonic()
        self._audits = 0
        self.collection_failed = False
        self.record: AuditRecord | None = None
        self.notes: list[str] = []
        self._annotations: list[str] = []

    def progress(self, message: str) -> None:
        """Show where a long audit stands, on a terminal only."""
        reporter = self._run.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is None or self._run.is_worker or not reporter.isatty:
            return
        done, total = max(self._audits - 1, 0), len(self._run.hypotheses)
        left = ""
        if done:
            seconds = (time.monotonic() - self._started) / done * (total - done)
            left = f", about {seconds:.0f} s left"
        text = sanitise.terminal(f"[{done}/{total}{left}] {message}")
        reporter.rewrite(text[: shutil.get_terminal_size().columns - 1], erase=True)

    def starting(self, name: str) -> None:
        """Count an audit that begins."""
        self._audits += 1
        self.progress(name)

    def note(self, report: pytest.TestReport) -> None:
        """Remember a check that was judged; a report of an error judges nothing."""
        found = {name: str(value) for name, value in report.user_properties}
        if report.when != "call" or f"{PREFIX}sha256" not in found:
            return
        key = (found[f"{PREFIX}hypothesis"], Check(found[f"{PREFIX}check"]))
        self._judged[key] = found[f"{PREFIX}sha256"]

    def finish(self, exitstatus: int) -> int:
        """Write the record, hold it against the baseline, and return the exit status."""
        for hypothesis in self._run.hypotheses:
            self.notes += [f"warning: {warning}" for warning in hypothesis.warnings]
        try:
            self.record = self._build(exitstatus)
            if self.record is None:
                return self._partial(exitstatus)
            self._write(self.record)
            if not self.record.complete:
                return self._partial(exitstatus)
            return self._gate(self.record, exitstatus)
        except AuditError as error:
            self.notes.append(f"ERROR: {error}")
            return _worst(exitstatus, pytest.ExitCode.TESTS_FAILED)

    def _build(self, exitstatus: int) -> AuditRecord | None:
        surroundings = intake.read_surroundings(self._run.shared)
        results = [found for h in self._run.hypotheses if (found := self._result(h.full_name))]
        if surroundings is None or not results:
            self.notes.append("no check was judged, so no record was written")
            return None
        manifest = intake.manifest(self._run.hypotheses)
        wanted = {(entry.name, check) for entry in manifest for check in entry.checks}
        complete = (
            wanted == set(self._judged)
            and not self.collection_failed
            and exitstatus not in _UNFINISHED
        )
        return AuditRecord(
            created=datetime.datetime.now(tz=datetime.UTC).isoformat(timespec="seconds"),
            complete=complete,
            subject=surroundings.subject,
            method=surroundings.method,
            environment=surroundings.environment,
            manifest=manifest,
            hypotheses=settle(results),
        ).sealed()

    def _result(self, name: str) -> HypothesisRecord | None:
        judged = {check: sha for (of, check), sha in self._judged.items() if of == name}
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
        self.notes.append(f"record: {self._run.gate.write_record(record)}")
        self._summarise(markdown.render(record))
        self._annotations += github.audit_annotations(record)
        self._run.config.hook.pytest_pm_audit_record(config=self._run.config, record=record)

    def _summarise(self, page: str) -> None:
        """Append to the job's summary, where the run is a job on GitHub."""
        summary = os.environ.get("GITHUB_STEP_SUMMARY")
        if not summary:
            return
        try:
            with Path(summary).open("a", encoding="utf-8") as stream:
                stream.write(page)
        except OSError as error:
            self.notes.append(f"warning: GITHUB_STEP_SUMMARY cannot be written: {error}")

    def _partial(self, exitstatus: int) -> int:
        if self._run.config.getoption("pm_audit_allow_partial"):
            return exitstatus
        return _worst(exitstatus, pytest.ExitCode.TESTS_FAILED)

    def _gate(self, record: AuditRecord, exitstatus: int) -> int:
        written = self._run.gate.update(record)
        if written is not None:
            self.notes.append(f"baseline written: {written}")
        comparison = self._run.gate.compare(record)
        if comparison is None:
            return exitstatus
        self.notes += ["", *changes.terminal_lines(comparison)]
        self._annotations += changes.github_annotations(comparison)
        self._summarise(changes.markdown_page(comparison))
        if comparison.regressed:
            return _worst(exitstatus, pytest.ExitCode.TESTS_FAILED)
        return exitstatus

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


def _worst(exitstatus: int, other: pytest.ExitCode) -> int:
    return (
        other
        if exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
        else exitstatus
    )
