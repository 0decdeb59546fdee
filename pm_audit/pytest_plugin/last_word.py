"""The exit status at the very end: it follows the record, even if other hooks changed it.

A conftest can set ``session.exitstatus``, answer ``pytest_cmdline_main`` itself, unregister the
run or leave with ``SystemExit``.  This hook is registered after all conftests of the command line,
so it wraps theirs.  It never improves a status.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from pm_audit.pytest_plugin.exit_status import exit_status
from pm_audit.report import sanitise

LISTINGS = {
    "collectonly": "--collect-only",
    "showfixtures": "--fixtures",
    "show_fixtures_per_test": "--fixtures-per-test",
    "markers": "--markers",
    "cacheshow": "--cache-show",
    "setupplan": "--setup-plan",
    "setuponly": "--setup-only",
    "help": "--help",
    "version": "--version",
}
"""Options of pytest that run no check, by the name under which they are kept."""
_PATHS = "paths"


class LastWord:
    """Keeps what the command line said, and settles the exit status."""

    def __init__(self, *, baseline: str | None, known: object) -> None:
        self._baseline = baseline  # as given: after --help the command line is not read further
        self._listings = tuple(
            flag for name, flag in LISTINGS.items() if getattr(known, name, None)
        )
        self.reasons: Callable[[], tuple[str, ...] | None] = lambda: None
        """Returns why the run does not pass; None as long as there is no run or it goes on."""
        self.said: dict[str, object] = {}
        """Our options and the paths, as they were before any hook of a session could run."""
        self.listing: str | None = None
        """The option, if any, by which pytest lists something and judges nothing."""

    @property
    def lists_checks(self) -> bool:
        """Whether pytest lists something of a project and judges nothing."""
        return self.listing not in (None, "--help", "--version")

    @property
    def runs_nothing(self) -> bool:
        """Whether pytest starts no check at all; the setup options start each of them."""
        return self.lists_checks and self.listing not in ("--setup-plan", "--setup-only")

    def refuse_listing(self, baseline: Path | None) -> None:
        """Refuse to list what has to be compared with a baseline.

        Raises:
            pytest.UsageError: there is a baseline.

        """
        if baseline is not None:
            raise pytest.UsageError(
                f"{self.listing} judges nothing that could be compared with {baseline}; leave out "
                "one of them"
            )

    def require_outermost(self, config: pytest.Config) -> None:
        """Refuse a plug-in that was registered later and so wraps this one.

        Raises:
            pytest.UsageError: this is not the first hook that is called.

        """
        called_first = config.hook.pytest_cmdline_main.get_hookimpls()[-1:]
        if not called_first or called_first[0].plugin is not self:
            raise pytest.UsageError(
                "a conftest or plug-in puts itself around the exit status of --pm-audit; leave out "
                "its pytest_cmdline_main or pytest_plugin_registered"
            )

    def refuse_changes(self, config: pytest.Config) -> None:
        """Refuse options and paths that are no longer what the command line said.

        Raises:
            pytest.UsageError: a hook changed some; the message names them.

        """
        now = _options(config)
        every = sorted(self.said.keys() | now.keys())
        changed = [name for name in every if self.said.get(name) != now.get(name)]
        if changed:
            named = ", ".join(
                "the paths" if name == _PATHS else f"--{name.replace('_', '-')}" for name in changed
            )
            raise pytest.UsageError(
                f"a conftest or plug-in changed {named} after the command line was read; give the "
                "option on the command line, or the setting in [tool.pm_audit]"
            )

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_cmdline_main(
        self, config: pytest.Config
    ) -> Generator[None, int | None, int | pytest.ExitCode]:
        """Return the worse of pytest's status and the one that the record requires."""
        if hasattr(config, "workerinput"):
            return (yield) or 0
        self.said = _options(config)
        self.listing = next(iter(self._listings), None)
        try:
            status = yield
        except SystemExit as leaving:
            status = leaving.code if isinstance(leaving.code, int) else int(bool(leaving.code))
        status = _readable(status)
        settled, reasons = self._settled(status)
        if settled != status:
            said = sanitise.terminal(f"exit status {settled}: {'; '.join(reasons)}")
            sys.stderr.write(f"pm_audit: {said}\n")
        return settled

    def _settled(self, status: int) -> tuple[int, tuple[str, ...]]:
        reasons = self.reasons()
        if reasons is None and self.listing is not None and self._baseline is None:
            return status, ()
        if reasons is None:
            reasons = ("nothing was judged",)
        return int(exit_status(status, reasons)), reasons


def _readable(status: object) -> int:
    """Return a status that a shell does not change: of 256 it would keep 0."""
    if status is None:
        return 0
    if isinstance(status, int) and 0 <= status < 256:
        return int(status)
    return int(pytest.ExitCode.TESTS_FAILED)


def _options(config: pytest.Config) -> dict[str, object]:
    ours = {name: value for name, value in vars(config.option).items() if "pm_audit" in name}
    return ours | {_PATHS: tuple(config.args)}
