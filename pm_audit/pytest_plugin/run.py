"""One audit run: what it sets out to judge, who judges it, and the record at its end.

The manifest is read from the named paths before pytest collects anything, so that whatever
makes pytest judge less (``-k``, ``--lf``, ``-x``, a killed worker, Ctrl-C) shows as a partial
record.  Under xdist every worker audits and only the controller writes.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import pytest
from _pytest.terminal import TerminalReporter

from pm_audit.errors import AuditError
from pm_audit.loading.named import require_named_subject
from pm_audit.pytest_plugin import command_line, intake
from pm_audit.pytest_plugin.auditor import Auditor
from pm_audit.pytest_plugin.check_item import CheckItem, HypothesisFile, relative
from pm_audit.pytest_plugin.destination import Destination
from pm_audit.pytest_plugin.exit_status import Policy, under_gate
from pm_audit.pytest_plugin.gate import Gate, Known
from pm_audit.pytest_plugin.last_word import LastWord
from pm_audit.pytest_plugin.ledger import Ledger
from pm_audit.pytest_plugin.loading import Loading
from pm_audit.pytest_plugin.outcome import RunOutcome
from pm_audit.pytest_plugin.progress.watch import Watch
from pm_audit.pytest_plugin.pytest_report import keep_to_schema, mark_of, shorten
from pm_audit.pytest_plugin.shared_folder import SharedFolder
from pm_audit.report import sanitise
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
        last_word: LastWord | None,
    ) -> None:
        self.config = config
        self.given = given
        self.options = options
        worker = getattr(config, "workerinput", None)
        self.is_worker = worker is not None
        self._last_word = None if self.is_worker else last_word
        self.shared = Path(worker[_SHARED]) if worker else self._shared_folder()
        self.policy = Policy(
            inconclusive_passes=config.getoption("pm_audit_inconclusive") == "pass",
            partial_passes=config.getoption("pm_audit_allow_partial"),
        )
        self._updating = config.getoption("pm_audit_update_baseline")
        self.loading = Loading(self)
        self.ledger = Ledger(self.shared, self.loading.audit)
        self._settings: Settings | None = None
        self.hypotheses: tuple[Hypothesis, ...] = ()
        self.outcome = RunOutcome(self)
        self._session: pytest.Session | None = None
        self._shown: dict[str, tuple[str, str, str]] = {}
        """By node id: how pytest shows a check that is not passed and does not fail the run."""
        self._collected_as: dict[Path, Path] = {}

    def _shared_folder(self) -> Path:
        folder = SharedFolder()
        self.config.add_cleanup(folder.remove)  # comes even where a usage error ends the run
        return folder.path

    def pytest_configure(self, config: pytest.Config) -> None:
        """Register what else belongs to the run; refuse a listing that is held to a baseline.

        Raises:
            pytest.UsageError: an option makes pytest list something, and a baseline is given.

        """
        config.pluginmanager.register(self.loading)
        if not self.is_worker:
            config.pluginmanager.register(Watch(self))
        if self._last_word is None:
            return
        self._last_word.run = self
        if self._last_word.lists_checks:
            with self._refusing():
                baseline = intake.settings(config.rootpath, self.given).baseline
            self._last_word.refuse_listing(baseline)

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
        if self._last_word is not None:
            self._last_word.refuse_changes(self.config)
        with self._refusing():
            self._settings = intake.settings(self.config.rootpath, self.given)
            self.policy = under_gate(self.policy, self.settings, updating=self._updating)
            named = self.config.args_source is pytest.Config.ArgsSource.ARGS
            if not self.is_worker and self._brings_no_auditor():
                require_named_subject(self.settings)
            paths = intake.hypothesis_paths(
                self.config.args if named else [],
                folder=self.config.rootpath / self.settings.hypotheses,
                invoked_from=self.config.invocation_params.dir,
            )
            self.hypotheses = intake.hypotheses(paths, self.config.rootpath, self.settings)
            if not self.is_worker and not self.config.getoption("collectonly"):
                self.destination.examine(baseline=self.settings.baseline)
                self.gate().examine(self.hypotheses)
        if not named:
            self.config.args[:] = [str(path) for path in paths]

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """Turn what is wrong with the input into one usage error."""
        try:
            yield
        except AuditError as error:
            message = f"{error}{command_line.moved_root(self.config)}"
            raise pytest.UsageError(sanitise.terminal_lines(message)) from None

    def _brings_no_auditor(self) -> bool:
        """Say whether the subject is loaded by pm_audit itself, which knows what it can load."""
        brought = self.config.hook.pytest_pm_audit_auditor.get_hookimpls()
        return all(found.plugin is self for found in brought)

    @property
    def settings(self) -> Settings:
        """Return the run's settings, known once the session has started."""
        if self._settings is None:
            raise RuntimeError("settings are read when the session starts")
        return self._settings

    def gate(self, record: Path | None = None) -> Gate:
        """Return what the run is held against, and writes its record where that goes."""
        return Gate(
            root=self.config.rootpath,
            record=record or self.settings.record,
            baseline=self.settings.baseline,
            mode=self.settings.gate,
            updating=self._updating,
            inconclusive_passes=self.policy.inconclusive_passes,
        )

    @cached_property
    def known(self) -> Known:
        """Return which checks that are not passed the baseline excuses."""
        baseline = self.settings.baseline
        path = None if baseline is None else self.config.rootpath / baseline
        return Known(path, mode=self.settings.gate, updating=self._updating)

    @property
    def destination(self) -> Destination:
        """Return where record and page go."""
        return Destination(
            root=self.config.rootpath,
            record=self.settings.record,
            named="record" in self.given["cli"],
            folder=self.settings.hypotheses,
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

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collect_file(
        self, file_path: Path, parent: pytest.Collector
    ) -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
        """Collect a file of the manifest, as hypotheses alone: other plug-ins read YAML too."""
        yield
        if not self.hypotheses_of(file_path):
            return []
        collector = HypothesisFile.from_parent(parent, path=file_path)
        collector.run = self
        return [collector]

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note which checks are left after collection."""
        chosen = [item for item in session.items if isinstance(item, CheckItem)]
        intake.write_selected(
            self.shared, [(item.hypothesis.full_name, item.check) for item in chosen]
        )

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

    @pytest.hookimpl(trylast=True)
    def pytest_pm_audit_auditor(
        self, settings: Settings, progress: Callable[[str], None] | None
    ) -> Auditor:
        """Audit with the real thing, unless a plug-in brought another."""
        from pm_audit.pipelines.audit import Auditor  # imports torch
        from pm_audit.subject.allocator import own_process

        own_process()
        return Auditor(settings, progress=progress)

    def command(self, item: CheckItem) -> str:
        """Return the one command that judges this check again."""
        alone = len(self.hypotheses_of(item.path)) == 1
        file = relative(item.path, self.config.rootpath)
        node = "" if alone else item.name
        return command_line.command(self.given["cli"], self.options, file=file, node=node)

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
        self.outcome.reports.note(report)
        shorten(report)
        if mark := mark_of(report):
            self._shown[report.nodeid] = mark
        keep_to_schema(self.config, report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a file that could not be collected: the run is then partial."""
        if report.failed:
            self.outcome.collection_failed = True

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(
        self, report: pytest.TestReport | pytest.CollectReport
    ) -> tuple[str, str, str] | None:
        """Show a check of severity ``warn`` as WARNED, one known from the baseline as KNOWN."""
        return self._shown.get(report.nodeid) if report.when == "call" else None

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Write the record and let the gate decide, on the controller only."""
        listing = self._last_word is not None and self._last_word.runs_nothing
        if self.is_worker or listing or not self.hypotheses:
            return
        session.exitstatus = self.outcome.finish(exitstatus)

    @pytest.hookimpl(specname="pytest_sessionfinish", wrapper=True, tryfirst=True)
    def pytest_print_page_last(self) -> Generator[None, object, object]:
        """Print where the page is, below everything that pytest prints."""
        result = yield
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        if isinstance(reporter, TerminalReporter) and self.outcome.page is not None:
            reporter.write_line(sanitise.terminal_lines(f"page: {self.outcome.page}"))
        return result

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        """Print the summary of the record."""
        self.outcome.show(terminalreporter)
