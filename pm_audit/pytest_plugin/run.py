"""One audit run as pytest sees it: the plug-in object behind ``--pm-audit``.

The manifest is read from the named paths before pytest collects anything, so a run that judges less
(``-k``, ``--lf``, ``-x``, a killed worker, Ctrl-C) leaves a partial record.
Under xdist every worker audits and only the controller writes.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest
from _pytest.terminal import TerminalReporter

from pm_audit.errors import AuditError
from pm_audit.loading.named import require_named_subject
from pm_audit.pipelines import project
from pm_audit.pipelines.record import Auditor
from pm_audit.pytest_plugin import command_line
from pm_audit.pytest_plugin.check_item import CheckItem, HypothesisFile, relative
from pm_audit.pytest_plugin.exit_status import Policy, under_gate
from pm_audit.pytest_plugin.last_word import LastWord
from pm_audit.pytest_plugin.ledger import Entry, Ledger
from pm_audit.pytest_plugin.loading import Loading
from pm_audit.pytest_plugin.outcome import RunOutcome
from pm_audit.pytest_plugin.plan import Plan
from pm_audit.pytest_plugin.progress.watch import Watch
from pm_audit.pytest_plugin.pytest_report import keep_to_schema, mark_of, shorten
from pm_audit.pytest_plugin.shared_folder import Notes, SharedFolder
from pm_audit.records import Check, HypothesisRecord
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
        last_word: LastWord | None,
    ) -> None:
        self.config = config
        self._given = given
        worker = getattr(config, "workerinput", None)
        self.is_worker = worker is not None
        self._last_word = None if self.is_worker else last_word
        self._notes = Notes(Path(worker[_SHARED]) if worker else self._shared_folder())
        self._loading = Loading(self._notes, is_worker=self.is_worker, bring=self._bring)
        self._ledger = Ledger(self._notes.folder, self._loading.audit)
        self._outcome = RunOutcome(config, self._notes, self._ledger)
        self._plan: Plan | None = None
        self._session: pytest.Session | None = None
        self._shown: dict[str, tuple[str, str, str]] = {}
        """By node id: how pytest shows a check that is not passed and does not fail the run."""
        self._collected_as: dict[Path, Path] = {}

    def _shared_folder(self) -> Path:
        folder = SharedFolder()
        self.config.add_cleanup(folder.remove)  # runs even if a usage error ends the run
        return folder.path

    @property
    def plan(self) -> Plan:
        """Return the run's plan, known once the session has started."""
        if self._plan is None:
            raise RuntimeError("the plan is read when the session starts")
        return self._plan

    @property
    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """Return the hypotheses of the run; none before the session has started."""
        return () if self._plan is None else self._plan.hypotheses

    def pytest_configure(self, config: pytest.Config) -> None:
        """Register the other parts of the run; refuse a listing if there is a baseline.

        Raises:
            pytest.UsageError: an option makes pytest list something, and a baseline is given.

        """
        config.pluginmanager.register(self._loading)
        if not self.is_worker:
            config.pluginmanager.register(Watch(self._notes, total=lambda: len(self.hypotheses)))
        if self._last_word is None:
            return
        self._last_word.reasons = lambda: self._outcome.reasons
        if self._last_word.lists_checks:
            with self._refusing():
                baseline = self._settings().baseline
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
            settings = self._settings()
            if not self.is_worker and self._brings_no_auditor():
                require_named_subject(settings)
            self._plan = self._read_plan(settings, self._paths(settings))
            if not self.is_worker and not self.config.getoption("collectonly"):
                self.plan.examine()

    def _settings(self) -> Settings:
        given = self._given
        return project.read_settings(self.config.rootpath, **given)

    def _paths(self, settings: Settings) -> list[Path]:
        """Return what holds the hypotheses; pytest collects it too."""
        named = self.config.args_source is pytest.Config.ArgsSource.ARGS
        paths = project.hypothesis_paths(
            self.config.args if named else [],
            folder=self.config.rootpath / settings.hypotheses,
            cwd=self.config.invocation_params.dir,
        )
        if not named:
            self.config.args[:] = [str(path) for path in paths]
        return paths

    def _read_plan(self, settings: Settings, paths: list[Path]) -> Plan:
        updating = self.config.getoption("pm_audit_update_baseline")
        policy = Policy(
            inconclusive_passes=self.config.getoption("pm_audit_inconclusive") == "pass",
            partial_passes=self.config.getoption("pm_audit_allow_partial"),
        )
        return Plan(
            root=self.config.rootpath,
            settings=settings,
            hypotheses=project.read_hypotheses(paths, self.config.rootpath, settings),
            policy=under_gate(policy, settings, updating=updating),
            record_named="record" in self._given["cli"],
            updating=updating,
            comment=self.config.getoption("pm_audit_comment"),
        )

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """Turn broken input into one usage error."""
        try:
            yield
        except AuditError as error:
            message = f"{error}{command_line.moved_root(self.config)}"
            raise pytest.UsageError(sanitise.terminal_lines(message)) from None

    def _brings_no_auditor(self) -> bool:
        """Whether the subject is loaded by pm_audit itself, which knows what it can load."""
        brought = self.config.hook.pytest_pm_audit_auditor.get_hookimpls()
        return all(found.plugin is self for found in brought)

    def _bring(self, progress: Callable[[str], None]) -> Auditor:
        found: Auditor = self.config.hook.pytest_pm_audit_auditor(
            config=self.config, settings=self.plan.settings, progress=progress
        )
        self.plan.labelling.examine(found.subject.saes)
        return found

    @pytest.hookimpl(trylast=True)
    def pytest_pm_audit_auditor(
        self, settings: Settings, progress: Callable[[str], None] | None
    ) -> Auditor:
        """Return pm_audit's own auditor, unless a plug-in brings another."""
        from pm_audit.pipelines.audit import Auditor as Own  # imports torch
        from pm_audit.subject.allocator import own_process

        own_process()
        return Own(settings, progress=progress)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: _XdistNode) -> None:
        """Pass the shared folder to an xdist worker."""
        node.workerinput[_SHARED] = str(self._notes.folder)

    @pytest.hookimpl(tryfirst=True)
    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        """Collect hypotheses and nothing else."""
        return (
            True if collection_path.is_file() and not self.hypotheses_of(collection_path) else None
        )

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
        self._notes.write_selected([(item.hypothesis.full_name, item.check) for item in chosen])

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

    def entry(self, hypothesis: Hypothesis) -> Entry:
        """Return what became of the hypothesis' audit, auditing it if no process has."""
        return self._ledger.entry(hypothesis, queue=self._queue())

    def _queue(self) -> Iterator[Hypothesis]:
        """Yield hypotheses of this session that a waiting worker could audit ahead."""
        if self.is_worker and self._session is not None:
            for item in self._session.items:
                if isinstance(item, CheckItem):
                    yield item.hypothesis

    @property
    def policy(self) -> Policy:
        """What the command line allows."""
        return self.plan.policy

    def known(self, record: HypothesisRecord, check: Check) -> bool:
        """Whether the baseline excuses a check that is not passed."""
        return self.plan.known(record, check)

    def command(self, path: Path, name: str) -> str:
        """Return the one command that judges the check ``name`` of a file again."""
        alone = len(self.hypotheses_of(path)) == 1
        return command_line.command(
            self._given["cli"],
            file=relative(path, self.config.rootpath),
            node="" if alone else name,
        )

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Give errors of the audit the item's own words: pytest uses those in calls only."""
        report = yield
        if isinstance(item, CheckItem) and call.when == "setup" and report.failed and call.excinfo:
            report.longrepr = item.repr_failure(call.excinfo)
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note what was judged; keep JUnit files within their schema."""
        if self.is_worker:
            return
        self._outcome.reports.note(report)
        shorten(report)
        if mark := mark_of(report):
            self._shown[report.nodeid] = mark
        keep_to_schema(self.config, report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a file that could not be collected: the run is then partial."""
        self._outcome.collection_failed |= report.failed

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
        if not self.is_worker and not listing and self.hypotheses:
            session.exitstatus = self._outcome.finish(self.plan, exitstatus)

    @pytest.hookimpl(specname="pytest_sessionfinish", wrapper=True, tryfirst=True)
    def pytest_print_page_last(self) -> Generator[None, object, object]:
        """Print where the page is, below everything that pytest prints."""
        result = yield
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        if isinstance(reporter, TerminalReporter) and self._outcome.page is not None:
            reporter.write_line(sanitise.terminal_lines(f"page: {self._outcome.page}"))
        return result

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        """Print the summary of the record."""
        self._outcome.show(terminalreporter)
