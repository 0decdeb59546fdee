"""What a person at a terminal sees while the run goes on: step, hypothesis and time left."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, nullcontext

import pytest
from _pytest.terminal import TerminalReporter

from pm_audit.pytest_plugin.progress import steps
from pm_audit.pytest_plugin.progress.status_line import StatusLine, terminal_descriptor
from pm_audit.pytest_plugin.shared_folder import Notes


class Watch:
    """The plug-in object that shows the status line, in the process that has the terminal."""

    def __init__(self, notes: Notes, *, total: Callable[[], int]) -> None:
        self._notes = notes
        self._total = total
        self._descriptor = terminal_descriptor()
        self._line: StatusLine | None = None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Show the line while checks run, and while the subject is loaded for them."""
        with self._shown(session, self._text):
            return (yield)

    # inside the terminal's own wrapper, which prints the summary
    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, object, object]:
        """Show the line while workers stop and the record and its page are written."""
        began = time.time()
        with self._shown(session, lambda: f"writing the record, {time.time() - began:.0f} s"):
            return (yield)

    def _shown(
        self, session: pytest.Session, text: Callable[[], str | None]
    ) -> AbstractContextManager[None]:
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        if (
            self._descriptor is None
            or not isinstance(reporter, TerminalReporter)
            or session.config.getoption("collectonly")
        ):
            return nullcontext()
        self._line = StatusLine(
            self._descriptor, text=text, column=lambda: reporter._tw.width_of_current_line
        )
        return self._line.shown()

    def _text(self) -> str | None:
        total = len({name for name, _ in self._notes.read_selected()}) or self._total()
        return steps.sentence(steps.read(self._notes.folder), total, now=time.time())

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logstart(self) -> Generator[None, object, object]:
        """Make room for what pytest writes."""
        with nullcontext() if self._line is None else self._line.hidden():
            return (yield)

    pytest_runtest_logreport = pytest_runtest_logfinish = pytest_runtest_logstart

    def pytest_unconfigure(self) -> None:
        """Give the terminal's descriptor back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
