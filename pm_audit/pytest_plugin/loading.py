"""The subject is loaded once, before the first check: a subject that cannot be is a usage error.

Under xdist each worker loads.  A worker cannot end the run with a message of its own, so it leaves
the message in the folder that the run shares and stops; the controller reads it and ends the run.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest

from pm_audit.errors import AuditError
from pm_audit.pipelines.record import Auditor, Surroundings
from pm_audit.pytest_plugin.progress.steps import Steps
from pm_audit.pytest_plugin.shared_folder import Notes
from pm_audit.records import HypothesisRecord
from pm_audit.report import sanitise
from pm_audit.spec import Hypothesis

Bring = Callable[[Callable[[str], None]], Auditor]
"""Loads the subject: receives what takes its steps, and returns what audits."""


class Loading:
    """The plug-in object that holds the auditor, one a process."""

    def __init__(self, notes: Notes, *, is_worker: bool, bring: Bring) -> None:
        self._notes = notes
        self._is_worker = is_worker
        self._bring = bring
        self._steps = Steps(notes.folder)
        self._auditor: Auditor | None = None
        self._failure: Exception | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Load before the first check, in each process that audits.

        Raises:
            pytest.UsageError: the PM or an SAE cannot be loaded.

        """
        if not session.items or session.testsfailed or session.config.getoption("collectonly"):
            return None
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("default")
                self._load()
        except AuditError as error:
            message = sanitise.terminal_lines(str(error))
            if not self._is_worker:
                raise pytest.UsageError(message) from None
            self._notes.write_refusal(message)
            session.shouldstop = "the subject cannot be loaded"
            return True
        except Exception:  # noqa: BLE001 - raised again, with its traceback, by the first check
            return None
        for warning in caught:
            shown = {"warning_message": warning, "when": "runtest", "nodeid": "", "location": None}
            session.config.hook.pytest_warning_recorded.call_historic(kwargs=shown)
        return None

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self) -> None:
        """End the run if a worker could not load the subject.

        Raises:
            pytest.UsageError: with the worker's message.

        """
        message = self._notes.read_refusal()
        if message:
            raise pytest.UsageError(message)

    def _load(self) -> Auditor:
        """Return the auditor, loading the subject on first use; a failure is raised each time."""
        if self._failure is not None:
            raise self._failure
        if self._auditor is None:
            self._steps.note("importing what an audit needs")
            try:
                self._auditor = self._bring(self._steps.note)
            except Exception as error:
                self._failure = error
                raise
            self._steps.end()
        return self._auditor

    def audit(self, hypothesis: Hypothesis) -> HypothesisRecord:
        """Audit a hypothesis, and note for the controller what was audited, how and where.

        Raises:
            AuditError: something that the user can fix.

        """
        with warnings.catch_warnings():
            # a project that turns warnings into errors means its own code, not the PM's libraries
            warnings.simplefilter("default")
            auditor = self._load()
            self._steps.begin(hypothesis.full_name)
            try:
                record = auditor.audit(hypothesis)
            finally:
                self._steps.end()
        self._notes.write_surroundings(Surroundings.of(auditor))
        return record
