"""YAML files as collectors, checks as items: ``hypotheses/urls.yaml::urls/explained``.

An item's setup runs the audit, so that broken input is an ERROR; its call judges the check, so
that a refuted claim is a FAILURE.  Only a failure can be excused by ``known_bias``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

import pytest
from _pytest._code.code import TerminalRepr

from pm_audit.errors import AuditError, AuditFailure
from pm_audit.judging import rule_of
from pm_audit.pytest_plugin.exit_status import Policy, Stance, stance
from pm_audit.pytest_plugin.ledger import Entry
from pm_audit.records import Check, CheckResult, HypothesisRecord
from pm_audit.report import junit, sanitise, terminal
from pm_audit.spec import Hypothesis, today


class Run(Protocol):
    """What collectors and items need of the run that they belong to."""

    @property
    def policy(self) -> Policy:
        """What the command line allows."""

    def hypotheses_of(self, path: Path) -> tuple[Hypothesis, ...]:
        """Return the hypotheses that a file holds."""

    def entry(self, hypothesis: Hypothesis) -> Entry:
        """Return what became of the hypothesis' audit, auditing it if no process has."""

    def known(self, record: HypothesisRecord, check: Check) -> bool:
        """Whether the baseline excuses a check that is not passed."""

    def command(self, path: Path, name: str) -> str:
        """Return the one command that judges a check again."""


class UnjudgeableError(Exception):
    """A check came out INVALID: no verdict, and nothing that ``known_bias`` could excuse."""


class AuditStoppedError(Exception):
    """The audit of this check's hypothesis ended in an error."""


class HypothesisFile(pytest.File):
    """One YAML file of the run's manifest."""

    run: Run

    def collect(self) -> Iterable[pytest.Item]:
        """Yield an item for each check of each hypothesis, in the order of the file."""
        for hypothesis in self.run.hypotheses_of(self.path):
            for check in Check.known():
                item = CheckItem.from_parent(self, name=f"{_node_id(hypothesis)}/{check.value}")
                item.prepare(self.run, hypothesis, check)
                yield item


class LikeFunction(pytest.Item):
    """The attributes of a test function, which conftests read of every item."""

    cls = None
    instance = None
    module = sys.modules[__name__]

    @property
    def function(self) -> Callable[[], None]:
        """What the item runs."""
        return self.runtest

    obj = function

    @property
    def originalname(self) -> str:
        """The name, which has no parameters."""
        return self.name

    @property
    def fixturenames(self) -> list[str]:
        """No fixture, also after a conftest has added one."""
        return []

    @property
    def funcargs(self) -> dict[str, object]:
        """No argument."""
        return {}


class CheckItem(LikeFunction):
    """One check of one hypothesis."""

    run: Run
    hypothesis: Hypothesis
    check: Check
    record: HypothesisRecord | None = None
    excused: bool = False
    """A known bias is in force: a refuted claim is expected, and a pass is an error."""

    def prepare(self, run: Run, hypothesis: Hypothesis, check: Check) -> None:
        """Take what is judged, and mark a failure that a known bias expects."""
        self.run, self.hypothesis, self.check = run, hypothesis, check
        self.user_properties.extend(junit.identity(hypothesis.full_name, check))
        for tag in hypothesis.tags:
            self.extra_keyword_matches.add(tag)
        bias = hypothesis.known_bias
        in_force = bias is not None and bias.covers(check) and not bias.expired(today())
        if bias is not None and in_force and hypothesis.severity != "warn":
            self.excused = True
            reason = sanitise.terminal(f"known bias ({bias.ticket}): {bias.reason}")
            self.add_marker(pytest.mark.xfail(reason=reason, raises=AuditFailure, strict=True))

    def setup(self) -> None:
        """Audit the hypothesis, unless another check has done it."""
        entry = self.run.entry(self.hypothesis)
        if entry.result is None:
            message = entry.error or "the audit left no result"
            raise AuditStoppedError(self._stopped(message, fixable=entry.fixable))
        self.record = entry.result
        result = self._result()
        known = set(self.user_properties)
        found = junit.properties(self.record, result, result_sha256=entry.sha256)
        self.user_properties.extend(pair for pair in found if pair not in known)

    def _stopped(self, message: str, *, fixable: bool) -> str:
        if fixable:
            return f"{message}\n  at {self.place()}"
        return f"the audit crashed; this is a bug of pm_audit\n  at {self.place()}\n{message}"

    def _result(self) -> CheckResult:
        for result in self.record.checks if self.record is not None else ():
            if result.check is self.check:
                return result
        raise AuditStoppedError(f"{self.place()}: the audit did not judge {self.check}")

    def runtest(self) -> None:
        """Turn the outcome into what pytest knows.

        Raises:
            AuditFailure: refuted, or inconclusive and not allowed to be.
            UnjudgeableError: invalid.

        """
        result = self._result()
        found = stance(
            result.outcome,
            warns=self.hypothesis.severity == "warn",
            excused=self.excused,
            inconclusive_passes=self.run.policy.inconclusive_passes,
            known=self.record is not None and self.run.known(self.record, self.check),
        )
        match found:
            case Stance.SKIPPED:
                reason = sanitise.terminal(result.reason)
                raise pytest.skip.Exception(reason, _use_item_location=True)
            case Stance.WARNED:
                self.user_properties.append((f"{junit.PREFIX}warned", "yes"))
            case Stance.KNOWN:
                self.user_properties.append((f"{junit.PREFIX}known", "yes"))
            case Stance.EXCUSED | Stance.FAILED:
                raise AuditFailure(result.reason)
            case Stance.UNJUDGEABLE:
                raise UnjudgeableError(result.reason)

    def place(self) -> str:
        """Return ``file:line`` as a person at the root would write it."""
        return f"{relative(self.path, self.config.rootpath)}:{self.line}"

    @property
    def line(self) -> int:
        """Return the line that this check judges: its threshold, or the hypothesis."""
        return int(self.hypothesis.line_of(rule_of(self.check).line_key))

    def reportinfo(self) -> tuple[os.PathLike[str] | str, int | None, str]:
        """Return the YAML file and the check's line, which pytest counts from 0."""
        return self.path, self.line - 1, self.name

    def repr_failure(  # type: ignore[override]
        self, excinfo: pytest.ExceptionInfo[BaseException]
    ) -> str | TerminalRepr:
        """Return one message: no traceback, unless the error is a bug."""
        error = excinfo.value
        if isinstance(error, AuditFailure | UnjudgeableError) and self.record is not None:
            lines = terminal.failure(
                self.record,
                self._result(),
                place=self.place(),
                command=self.run.command(self.path, self.name),
            )
            bias = self.hypothesis.known_bias
            if bias is not None and bias.covers(self.check) and bias.expired(today()):
                lines += (
                    f"\n  expired   known bias {sanitise.terminal(bias.ticket)}: {bias.expires}"
                )
            return lines
        if isinstance(error, AuditStoppedError | AuditError):
            return sanitise.terminal_lines(
                f"{error}\nagain: {self.run.command(self.path, self.name)}"
            )
        return super().repr_failure(excinfo)


def _node_id(hypothesis: Hypothesis) -> str:
    parts = (hypothesis.name, hypothesis.objective)
    return "@".join(sanitise.node_id(part) for part in parts if part is not None)


def relative(path: Path, root: Path) -> str:
    """Return ``path`` relative to ``root`` with forward slashes, if it lies inside."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
