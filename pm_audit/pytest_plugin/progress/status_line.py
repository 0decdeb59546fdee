"""One line at the foot of a terminal that says how far the run is; it is gone when the run ends.

pytest captures what is written while a test runs, and writes lines of its own.  A thread writes
this line to another descriptor, below the last line of pytest, and removes it before pytest writes.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pm_audit.report import sanitise

_SECONDS = 1.0
"""Between two drawings of the line."""


class StatusLine:
    """Writes what ``text`` returns until it is stopped."""

    def __init__(
        self, descriptor: int, *, text: Callable[[], str | None], column: Callable[[], int]
    ) -> None:
        self._descriptor = descriptor
        self._text = text
        self._column = column
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._below: int | None = None
        """Column of pytest's line above this one; None while this one is not drawn."""

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show it while the block runs."""
        thread = threading.Thread(target=self._run, name="pm_audit status line", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()
            with self.hidden():
                pass

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Remove it while the block writes."""
        with self._lock:
            if self._below is not None:
                back = f"\x1b[1A\x1b[{self._below}C" if self._below else ""
                self._write(f"\r\x1b[2K{back}")
                self._below = None
            yield

    def _run(self) -> None:
        while not self._over.wait(_SECONDS):
            self._draw()

    def _draw(self) -> None:
        text = self._text()
        if text is None:
            return
        with self._lock:
            if self._over.is_set():
                return
            start = ""
            if self._below is None:
                self._below = self._column()
                start = "\n" if self._below else ""
            self._write(f"{start}\r\x1b[2K{self._fitting(sanitise.terminal(text))}")

    def _fitting(self, text: str) -> str:
        try:
            columns = os.get_terminal_size(self._descriptor).columns or 80
        except OSError:
            columns = 80
        return text if len(text) < columns else f"{text[: max(columns - 2, 0)]}…"

    def _write(self, text: str) -> None:
        try:
            os.write(self._descriptor, text.encode("utf-8", "replace"))
        except OSError:
            self._over.set()  # the terminal was closed; the audit goes on


def terminal_descriptor() -> int | None:
    """Return a new descriptor of the terminal behind stdout; None if stdout is not a terminal.

    Capturing replaces stdout's descriptor, so call this while pytest captures nothing.
    """
    try:
        if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
            return os.dup(sys.stdout.fileno())
    except (AttributeError, OSError, ValueError):
        pass
    return None
