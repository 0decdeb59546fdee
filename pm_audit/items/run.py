"""One audit run: what it sets out to judge, who judges it, and the record at its end.

The manifest is read from the named paths before pytest collects anything, so that whatever
makes pytest judge less (``-k``, ``--lf``, ``-x``, a killed worker, Ctrl-C) shows as a partial
record.  Under xdist every worker audits and only the controller writes.
"""

from __future__ import annotations

import itertools
import shlex
import shutil
import tempfile
import warnings
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Any, Protocol

import pytest
from _pytest.junitxml import LogXML
from _pytest.terminal import TerminalReporter

from pm_audit.errors import AuditError
from pm_audit.items import intake
from pm_audit.items.auditor import Auditor
from pm_audit.items.check_item import CheckItem, HypothesisFile, relative
from pm_audit.items.gate import Gate
from pm_audit.items.ledger import Ledger
from pm_audit.items.outcome import RunOutcome
from pm_audit.items.surroundings import Surroundings
from pm_audit.records import HypothesisRecord
from pm_audit.report import junit, sanitise
from pm_audit.spec import Hypothesis, Settings

_SHARED = "pm_audit_shared"
_DIST_MODES = ("no", "load")


class _XdistNode(Protocol):
    """What xdist hands to ``pytest_configure_node``."""

    workerinput: dict[str, object]


class AuditRun:
    """The plug-in object behind ``--pm-audit``, one a process."""

    def __init__(
        self,
        config: pytest.Config,
        given: dict[str, dict[str, Any]],
        *,
        options: tuple[str, ...],
    ) -> None:
        self.config = config
        self.given = given
        self.options = options
        worker = getattr(config, "workerinput", None)
        self.is_worker = worker is not None
        self.shared = Path(worker[_SHARED] if worker else tempfile.mkdtemp(prefix="pm_audit_"))
        self.inconclusive_passes = config.getoption("pm_audit_inconclusive") == "pass"
        self.ledger = Ledger(self.shared, self._audit)
        self._settings: Settings | None = None
        self.hypotheses: tuple[Hypothesis, ...] = ()
        self.outcome = RunOutcome(self)
        self._auditor: Auditor | None = None
        self._auditor_error: AuditError | None = None
        self._session: pytest.Session | None = None
        self._warned: set[str] = set()
        self._collected_as: dict[Path, Path] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Read the manifest; broken input ends the run here, with all of it in one message.

        Raises:
            pytest.UsageError: the input is broken, or xdist would lose results in this mode.

        """
        self._session = session
        mode = self.config.getoption("dist", "no")
        if mode not in _DIST_MODES:
            raise pytest.UsageError(
                f"--dist {mode} can lose or repeat checks; run --pm-audit with --dist load"
            )
        try:
            self._settings = intake.settings(self.config.rootpath, self.given)
            named = self.config.args_source is pytest.Config.ArgsSource.ARGS
            paths = intake.hypothesis_paths(
                self.config.args if named else [],
                folder=self.config.rootpath / self.settings.hypotheses,
                invoked_from=self.config.invocation_params.dir,
            )
            self.hypotheses = intake.hypotheses(paths, self.config.rootpath, self.settings)
            if not self.is_worker and not self.config.getoption("collectonly"):
                self.gate.examine(self.hypotheses)
        except AuditError as error:
            message = f"{error}{self._moved_root()}"
            raise pytest.UsageError(sanitise.terminal_lines(message)) from None
        if not named:
            self.config.args[:] = [str(path) for path in paths]

    def _moved_root(self) -> str:
        """Say what moved pytest's root: it looks for one before it knows our options."""
        folder = self.config.invocation_params.dir
        words = [str(word) for word in self.config.invocation_params.args]
        moving = [
            flag
            for flag, path in itertools.pairwise(words)
            if flag.startswith("--pm-audit-") and "=" not in flag and (folder / path).exists()
        ]
        if not moving or self.config.rootpath == folder:
            return ""
        return (
            f"\npytest took {self.config.rootpath} for the project's root; a path after "
            f"{moving[0]} can do that: write {moving[0]}=PATH"
        )

    @property
    def settings(self) -> Settings:
        """Return the run's settings, known once the session has started."""
        if self._settings is None:
            raise RuntimeError("settings are read when the session starts")
        return self._settings

    @property
    def gate(self) -> Gate:
        """Return where the record goes and what it is held against."""
        return Gate(
            self.config.rootpath,
            self.settings.record,
            self.settings.baseline,
            updating=self.config.getoption("pm_audit_update_baseline"),
        )

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: _XdistNode) -> None:
        """Tell an xdist worker where results are shared."""
        node.workerinput[_SHARED] = str(self.shared)

    @pytest.hookimpl(tryfirst=True)
    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        """Collect hypotheses and nothing else."""
        if collection_path.is_file() and not self.hypotheses_of(collection_path):
            return True
        return None

    def pytest_collect_file(
        self, file_path: Path, parent: pytest.Collector
    ) -> pytest.Collector | None:
        """Collect a file of the manifest."""
        if not self.hypotheses_of(file_path):
            return None
        collector = HypothesisFile.from_parent(parent, path=file_path)
        collector.run = self
        return collector

    def hypotheses_of(self, path: Path) -> tuple[Hypothesis, ...]:
        """Return the hypotheses that a file holds, in its order; none for any other file.

        A file that links lead to by several paths is collected by the first of them alone.
        """
        resolved = path.resolve()
        if self._collected_as.setdefault(resolved, path) != path:
            return ()
        return tuple(
            hypothesis
            for hypothesis in self.hypotheses
            if (self.config.rootpath / hypothesis.file).resolve() == resolved
        )

    def queue(self) -> Iterable[Hypothesis]:
        """Yield hypotheses of this session that a waiting worker could audit ahead."""
        if self.is_worker and self._session is not None:
            for item in self._session.items:
                if isinstance(item, CheckItem):
                    yield item.hypothesis

    def auditor(self) -> Auditor:
        """Return what audits, loading the PM on first use.

        Raises:
            AuditError: the PM or an SAE cannot be loaded; raised again for every check.

        """
        if self._auditor_error is not None:
            raise self._auditor_error
        if self._auditor is None:
            try:
                brought: Auditor = self.config.hook.pytest_pm_audit_auditor(
                    config=self.config, settings=self.settings, progress=self.outcome.progress
                )
            except AuditError as error:
                self._auditor_error = error
                raise
            self._auditor = brought
        return self._auditor

    @pytest.hookimpl(trylast=True)
    def pytest_pm_audit_auditor(
        self, settings: Settings, progress: Callable[[str], None] | None
    ) -> Auditor:
        """Audit with the real thing, unless a plug-in brought another."""
        from pm_audit.audit import Auditor  # imports torch

        return Auditor(settings, progress=progress)

    def _audit(self, hypothesis: Hypothesis) -> HypothesisRecord:
        with warnings.catch_warnings():
            # a project that turns warnings into errors means its own code, not the PM's libraries
            warnings.simplefilter("default")
            auditor = self.auditor()
            self.outcome.starting(hypothesis.full_name)
            record = auditor.audit(hypothesis)
        intake.write_surroundings(
            self.shared,
            Surroundings(
                subject=auditor.subject,
                method=auditor.method,
                environment=dict(auditor.environment),
            ),
        )
        return record

    def command(self, item: CheckItem) -> str:
        """Return the one command that judges this check again."""
        words = ["pytest", "--pm-audit"]
        for name, value in self.given["cli"].items():
            flag = f"--pm-audit-{name.replace('_', '-')}"
            if name == "saes":
                words += [part for sae in value for part in ("--pm-audit-sae", str(sae))]
            elif name not in self.options:
                words += ["--pm-audit-set", f"{name}={value}"]
            elif name not in ("record", "baseline"):
                words += [flag, str(value)]
        file = relative(item.path, self.config.rootpath)
        if len(self.hypotheses_of(item.path)) == 1:
            return shlex.join([*words, file])
        return shlex.join([*words, "--pm-audit-allow-partial", f"{file}::{item.name}"])

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Give errors of the audit the item's own words: pytest asks for those in calls only."""
        report = yield
        if isinstance(item, CheckItem) and call.when == "setup" and report.failed and call.excinfo:
            report.longrepr = item.repr_failure(call.excinfo)
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note what was judged; keep JUnit files within their schema."""
        if self.is_worker:
            return
        self.outcome.note(report)
        properties = {name: str(value) for name, value in report.user_properties}
        if properties.get(f"{junit.PREFIX}warned"):
            self._warned.add(report.nodeid)
        writer = self._junit_writer()
        if writer is None or not properties or writer.family == "xunit1":
            return
        report.user_properties = []
        for name, value in properties.items() if report.when == "call" else ():
            writer.add_global_property(junit.suite_name(name, properties), value)

    def _junit_writer(self) -> LogXML | None:
        found = (p for p in self.config.pluginmanager.get_plugins() if isinstance(p, LogXML))
        return next(found, None)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a file that could not be collected: the run is then partial."""
        if report.failed:
            self.outcome.collection_failed = True

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(
        self, report: pytest.TestReport | pytest.CollectReport
    ) -> tuple[str, str, str] | None:
        """Show a failed check of severity ``warn`` as WARNED."""
        if report.when == "call" and report.nodeid in self._warned:
            return "warned", "W", "WARNED"
        return None

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Write the record and let the gate decide, on the controller only."""
        if self.is_worker or self.config.getoption("collectonly") or not self.hypotheses:
            return
        session.exitstatus = self.outcome.finish(exitstatus)

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        """Print the summary of the record."""
        self.outcome.show(terminalreporter)

    def pytest_unconfigure(self) -> None:
        """Remove the shared results."""
        if not self.is_worker:
            shutil.rmtree(self.shared, ignore_errors=True)
