"""The line at the foot of a terminal, as a terminal would show it."""

from __future__ import annotations

import itertools
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time

import pytest

from pm_audit.pytest_plugin.progress.status_line import StatusLine, terminal_descriptor

QUIET_SECONDS = 10
"""Something new is to be seen at least this often."""
DRAWN = re.compile(r"\[\d+/\d+ audited, about \d+ (?:s|min) (?:left|once loaded)\] ")


class Terminal:
    """A pseudo-terminal and what was seen on it, with the time of each piece."""

    def __init__(self, command: list[str], **options) -> None:
        own, other = pty.openpty()
        started = time.monotonic()
        self.seen: list[tuple[float, str]] = []
        with subprocess.Popen(command, stdin=other, stdout=other, stderr=other, **options) as run:
            os.close(other)
            while True:
                ready, _, _ = select.select([own], [], [], 60)
                assert ready, "nothing was seen for a minute"
                try:
                    piece = os.read(own, 1 << 16)
                except OSError:
                    break
                if not piece:
                    break
                self.seen.append((time.monotonic() - started, piece.decode()))
        os.close(own)
        self.status = run.returncode

    @property
    def text(self) -> str:
        return "".join(piece for _, piece in self.seen)

    def shown(self) -> list[str]:
        """Return the lines as they stand at the end, with cursor movements carried out."""
        lines, row, column = [""], 0, 0
        for part in re.findall(r"\x1b\[\d*[A-Za-z]|[\r\n]|[^\x1b\r\n]+", self.text):
            if part == "\r":
                column = 0
            elif part == "\n":
                row += 1
                lines += [""] * (row + 1 - len(lines))
            elif part.endswith("K") and part.startswith("\x1b"):
                lines[row] = "" if part == "\x1b[2K" else lines[row][:column]
            elif part.startswith("\x1b") and part[-1] in "AC":
                count = int(part[2:-1] or 1)
                row, column = (row - count, column) if part[-1] == "A" else (row, column + count)
            elif not part.startswith("\x1b"):
                kept = lines[row].ljust(column)
                lines[row] = kept[:column] + part + kept[column + len(part) :]
                column += len(part)
        return [line.rstrip() for line in lines]


def pytest_command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pytest", "--pm-audit", "-p", "no:cacheprovider", *arguments]


@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n", "2")], ids=["serial", "-n 2"])
def test_a_terminal_sees_step_and_estimate_all_the_time(project, pytester, monkeypatch, workers):
    monkeypatch.setenv("STAND_IN_SECONDS", "3.5")
    project("i-dont-know", "urls", "length")
    watched = Terminal(pytest_command("--color=no", *workers), cwd=pytester.path)
    assert watched.status == 1
    times = [at for at, _ in watched.seen]
    assert max(b - a for a, b in itertools.pairwise(times)) < QUIET_SECONDS
    first = next(at for at, piece in watched.seen if DRAWN.search(piece))
    assert first - times[0] < 30
    assert len(DRAWN.findall(watched.text)) >= 5
    assert re.search(r"urls, [12] s", watched.text)
    # the line leaves nothing behind, and pytest's own lines are whole
    shown = "\n".join(watched.shown())
    assert "audited, about" not in shown
    if not workers:
        assert "hypotheses/urls.yaml .F.." in shown
        assert "hypotheses/i_dont_know.yaml ...." in shown


def test_a_terminal_sees_that_the_record_is_being_written(project, pytester):
    project("urls")
    with (pytester.path / "conftest.py").open("a") as conftest:
        conftest.write("\n\ndef pytest_sessionfinish():\n    __import__('time').sleep(2.5)\n")
    watched = Terminal(pytest_command("--color=no"), cwd=pytester.path)
    assert watched.status == 1
    assert "writing the record, 2 s" in watched.text
    shown = "\n".join(watched.shown())
    assert "writing the record" not in shown
    assert "hypotheses/urls.yaml .F.." in shown


@pytest.mark.parametrize("options", [(), ("-rA", "-v"), ("-s",)], ids=str)
def test_without_a_terminal_nothing_is_seen_of_it(project, pytester, monkeypatch, options):
    monkeypatch.setenv("STAND_IN_SECONDS", "2")
    project("urls")
    result = pytester.runpytest_subprocess("--pm-audit", *options)
    assert "audited, about" not in result.stdout.str() + result.stderr.str()
    assert "\x1b[" not in result.stdout.str()


def test_a_failure_repeats_nothing_of_it(project, pytester, monkeypatch):
    monkeypatch.setenv("STAND_IN_SECONDS", "2")
    project("urls")
    watched = Terminal(pytest_command("--color=no", "-rA"), cwd=pytester.path)
    text = watched.text
    assert DRAWN.search(text)
    assert not DRAWN.search(text[text.index("= FAILURES =") :])
    assert "Captured" not in text


@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n", "1")], ids=["serial", "-n 1"])
def test_what_loading_says_is_said_at_once_and_repeated_nowhere(project, pytester, workers):
    project("urls")
    conftest = pytester.path / "conftest.py"
    said = "from pm_audit.loading.default.base import base_file\n    "
    said += "base_file().announce(Path('cache'))\n    "
    text = conftest.read_text().replace("return StandIn()", f"{said}return StandIn()")
    conftest.write_text(text)
    result = pytester.runpytest_subprocess("--pm-audit", "-rA", *workers)
    assert result.ret == 1
    line = "pm_audit: fetching *, once: 93 MB to download, 341 MB kept in cache"
    result.stderr.fnmatch_lines([line])
    assert result.stderr.str().count("fetching") == 1
    assert "fetching" not in result.stdout.str()
    assert "\x1b" not in result.stderr.str()


def test_ctrl_c_ends_the_line_too(project, pytester, monkeypatch):
    monkeypatch.setenv("STAND_IN_INTERRUPTS", "urls")
    monkeypatch.setenv("STAND_IN_SECONDS", "2")
    project("urls")
    listen = "signal.signal(signal.SIGINT, signal.default_int_handler)"
    start = f"import signal, sys, pytest; {listen}; sys.exit(pytest.main())"
    watched = Terminal([sys.executable, "-c", start, "--pm-audit", "--color=no"], cwd=pytester.path)
    assert watched.status == signal.SIGINT
    assert DRAWN.search(watched.text)
    assert "audited, about" not in "\n".join(watched.shown())


def test_a_dumb_terminal_has_no_line(monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "dumb")
    assert terminal_descriptor() is None


def test_hostile_words_do_not_reach_the_terminal_raw():
    own, other = pty.openpty()
    line = StatusLine(other, text=lambda: "a \x1b[31m red \u202e word", column=lambda: 0)
    with line.shown():
        drawn, _, _ = select.select([own], [], [], 60)
    assert drawn
    seen = os.read(own, 4096).decode()
    os.close(own)
    os.close(other)
    assert "\x1b[31m" not in seen
    assert "\\x1b[31m red" in seen
    assert "\u202e" not in seen
