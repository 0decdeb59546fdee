"""What pytest prints of a check that failed: all of it once, and one line in its summary."""

from __future__ import annotations

import pytest
from _pytest._code.code import ReprFileLocation, TerminalRepr
from _pytest._io import TerminalWriter

from pm_audit.report.junit import PREFIX

_MARKS = {
    f"{PREFIX}warned": ("warned", "W", "WARNED"),
    f"{PREFIX}known": ("known", "K", "KNOWN"),
}


class Told(TerminalRepr):
    """A message whose first line is what pytest's short summary shows."""

    def __init__(self, text: str, *, file: str, line: int) -> None:
        self._text = text
        self.reprcrash = ReprFileLocation(file, line, text.split("\n", 1)[0])

    def toterminal(self, tw: TerminalWriter) -> None:
        """Write the whole message."""
        for line in self._text.split("\n"):
            tw.line(line)


def shorten(report: pytest.TestReport) -> None:
    """Let the short summary show one line of a check: text that crossed processes has no such."""
    of_a_check = any(name == f"{PREFIX}check" for name, _ in report.user_properties)
    if of_a_check and report.failed and isinstance(report.longrepr, str):
        file, line, _ = report.location
        report.longrepr = Told(report.longrepr, file=file, line=(line or 0) + 1)


def mark_of(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """Return how pytest shows a check that is not passed and does not fail the run."""
    for name, _ in report.user_properties:
        if name in _MARKS:
            return _MARKS[name]
    return None
