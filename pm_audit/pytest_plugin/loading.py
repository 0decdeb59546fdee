"""The subject is loaded once, before the first check: what cannot be loaded is one usage error.

Under xdist each worker loads.  A worker cannot end the run with a message of its own, so it leaves
the message in the folder that the run shares and stops; the controller reads it and ends the run.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pm_audit.errors import AuditError
from pm_audit.pytest_plugin import intake
from pm_audit.pytest_plugin.auditor import Auditor
from pm_audit.pytest_plugin.progress.steps import Steps
from pm_audit.pytest_plugin.surroundings import Surroundings
from pm_audit.records import HypothesisRecord, write_atomically
from pm_audit.report import sanitise
from pm_audit.spec import Hypothesis

if TYPE_CHECKING:
    from pm_audit.pytest_plugin.run import AuditRun

_REFUSED = "refused.txt"


class Loading:
    """The plug-in object that brings the auditor, one a process."""

    def __init__(self, run: AuditRun) -> None:
        self._run = run
        self._steps = Steps(run.shared)
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
                self.auditor()
        except AuditError as error:
            message = sanitise.terminal_lines(str(error))
            if not self._run.is_worker:
                raise pytest.UsageError(message) from None
            write_atomically(self._run.shared / _REFUSED, message)
            session.shouldstop = "the subject cannot be loaded"
            return True
        except Exception:  # noqa: BLE001 - whatever cannot be sealed is tried unsealed
            return None
        for warning in caught:
            session.config.hook.pytest_warning_recorded.call_historic(
                kwargs={
                    "warning_message": warning,
                    "when": "runtest",
                    "nodeid": "",
                    "location": None,
                }
            )
        return None

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self) -> None:
        """End the run where a worker could not load the subject.

        Raises:
            pytest.UsageError: with the worker's message.

        """
        message = _read(self._run.shared / _REFUSED)
        if message:
            raise pytest.UsageError(message)

    def auditor(self) -> Auditor:
        """Return what audits, loading the subject on first use.

        Raises:
            AuditError: the PM or an SAE cannot be loaded; raised again at each further try.

        """
        if self._failure is not None:
            raise self._failure
        if self._auditor is None:
            self._steps.note("importing what an audit needs")
            try:
                brought: Auditor = self._run.config.hook.pytest_pm_audit_auditor(
                    config=self._run.config,
                    settings=self._run.settings,
                    progress=self._steps.note,
                )
            except Exception as error:
                self._failure = error
                raise
            self._auditor = brought
            self._steps.end()
        return self._auditor

    def audit(self, hypothesis: Hypothesis) -> HypothesisRecord:
        """Audit a hypothesis, and leave for the controller what was audited, how and where.

        Raises:
            AuditError: something that the user can fix.

        """
        with warnings.catch_warnings():
            # a project that turns warnings into errors means its own code, not the PM's libraries
            warnings.simplefilter("default")
            auditor = self.auditor()
            self._steps.begin(hypothesis.full_name)
            try:
                record = auditor.audit(hypothesis)
            finally:
                self._steps.end()
        intake.write_surroundings(
            self._run.shared,
            Surroundings(
                subject=auditor.subject,
                method=auditor.method,
                environment=dict(auditor.environment),
            ),
        )
        return record


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""
