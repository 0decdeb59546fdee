"""How pytest shows a check: its message in the terminal, its letter, its JUnit properties."""

from __future__ import annotations

import pytest
from _pytest._code.code import ReprFileLocation, TerminalRepr
from _pytest._io import TerminalWriter
from _pytest.junitxml import LogXML

from pm_audit.report import junit

_MARKS = {
    f"{junit.PREFIX}warned": ("warned", "W", "WARNED"),
    f"{junit.PREFIX}known": ("known", "K", "KNOWN"),
}


class FailureMessage(TerminalRepr):
    """A message whose first line is what pytest's short summary shows."""

    def __init__(self, text: str, *, file: str, line: int) -> None:
        self._text = text
        self.reprcrash = ReprFileLocation(file, line, text.split("\n", 1)[0])

    def toterminal(self, tw: TerminalWriter) -> None:
        """Write the whole message."""
        for line in self._text.split("\n"):
            tw.line(line)


def shorten(report: pytest.TestReport) -> None:
    """Give the short summary one line of a check: a message that crossed processes has none."""
    of_a_check = any(name == f"{junit.PREFIX}check" for name, _ in report.user_properties)
    if of_a_check and report.failed and isinstance(report.longrepr, str):
        file, line, _ = report.location
        report.longrepr = FailureMessage(report.longrepr, file=file, line=(line or 0) + 1)


def mark_of(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """Return how pytest shows a check that is not passed and does not fail the run."""
    for name, _ in report.user_properties:
        if name in _MARKS:
            return _MARKS[name]
    return None


def keep_to_schema(config: pytest.Config, report: pytest.TestReport) -> None:
    """Move a check's properties to the suite in an xunit2 file, whose cases can hold none."""
    writer = next((p for p in config.pluginmanager.get_plugins() if isinstance(p, LogXML)), None)
    properties = {name: str(value) for name, value in report.user_properties}
    if writer is None or not properties or writer.family == "xunit1":
        return
    report.user_properties = []
    for name, value in properties.items() if report.when == "call" else ():
        writer.add_global_property(junit.suite_name(name, properties), value)
