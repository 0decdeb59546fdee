"""The exit status at the very end: whatever a hook did to it, it is what the record says.

A conftest can set ``session.exitstatus``, answer ``pytest_cmdline_main`` itself, unregister the
run or leave with ``SystemExit``.  This hook is registered after all conftests of the command line,
so it stands around theirs, and it never makes a status better than it came.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pm_audit.pytest_plugin.exit_status import exit_status
from pm_audit.report import sanitise

if TYPE_CHECKING:
    from pm_audit.pytest_plugin.run import AuditRun

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
    """Holds on to what the command line said and to the run, and settles the exit status."""

    def __init__(self, *, baseline: str | None, known: object) -> None:
        self._baseline = baseline  # as given: after --help the command line is not read further
        self._listings = tuple(
            flag for name, flag in LISTINGS.items() if getattr(known, name, None)
        )
        self.run: AuditRun | None = None
        self.said: dict[str, object] = {}
        """Our options and the paths, as they were before any hook of a session could run."""
        self.listing: str | None = None
        """The option, if any, by which pytest lists something and judges nothing."""

    @property
    def lists_checks(self) -> bool:
        """Say whether pytest lists something of a project and judges nothing."""
        return self.listing not in (None, "--help", "--version")

    @property
    def runs_nothing(self) -> bool:
        """Say whether pytest starts no check at all; the setup options start each of them."""
        return self.lists_checks and self.listing not in ("--setup-plan", "--setup-only")

    def refuse_listing(self, baseline: Path | None) -> None:
        """Refuse to list what is to be held against a baseline.

        Raises:
            pytest.UsageError: there is a baseline.

        """
        if baseline is not None:
            raise pytest.UsageError(
                f"{self.listing} judges nothing that could be held against {baseline}; leave out "
                "one of them"
            )

    def require_outermost(self, config: pytest.Config) -> None:
        """Refuse a plug-in that was registered later, so that it has the last word itself.

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
        """Return the status that the record requires, if pytest's own is a better one."""
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
        run = self.run
        if run is not None and run.outcome.reasons is not None:
            reasons = run.outcome.reasons
        elif self.listing is not None and self._baseline is None:
            return status, ()
        else:
            reasons = ("nothing was judged",)
        return int(exit_status(status, reasons)), reasons


def _readable(status: object) -> int:
    """Return a status that a shell reads as it is: it keeps eight bits, so 256 would be a pass."""
    if status is None:
        return 0
    if isinstance(status, int) and 0 <= status < 256:
        return int(status)
    return int(pytest.ExitCode.TESTS_FAILED)


def _options(config: pytest.Config) -> dict[str, object]:
    ours = {name: value for name, value in vars(config.option).items() if "pm_audit" in name}
    return ours | {_PATHS: tuple(config.args)}
