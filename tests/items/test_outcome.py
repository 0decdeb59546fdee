"""Progress: an estimate on a terminal, silence everywhere else."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from pm_audit.items.outcome import RunOutcome


class Reporter:
    def __init__(self, *, isatty: bool):
        self.isatty = isatty
        self.lines: list[str] = []

    def rewrite(self, text, *, erase):
        assert erase
        self.lines.append(text)


def outcome(reporter, *, is_worker=False) -> RunOutcome:
    plugins = SimpleNamespace(get_plugin=lambda _: reporter)
    run = SimpleNamespace(
        config=SimpleNamespace(pluginmanager=plugins),
        is_worker=is_worker,
        hypotheses=[None] * 3,
    )
    return RunOutcome(run)


def test_a_terminal_sees_where_the_audit_stands_and_how_long_it_takes():
    reporter = Reporter(isatty=True)
    watched = outcome(reporter)
    watched.starting("first")
    watched.starting("second")
    watched.progress("\x1b[31mablating")
    assert reporter.lines[0] == "[0/3] first"
    assert reporter.lines[1].startswith("[1/3, about ")
    assert reporter.lines[1].endswith(" s left] second")
    assert "\x1b" not in reporter.lines[2]


@pytest.mark.parametrize(
    ("reporter", "is_worker"),
    [(None, False), (Reporter(isatty=False), False), (Reporter(isatty=True), True)],
    ids=["no terminal plug-in", "no terminal", "worker"],
)
def test_everywhere_else_it_is_quiet(reporter, is_worker):
    outcome(reporter, is_worker=is_worker).starting("first")
    assert reporter is None or reporter.lines == []
