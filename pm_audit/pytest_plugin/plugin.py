"""The pytest door: options and hooks only.

Every project that has pm_audit installed imports this module on each test run, so it imports
pytest and the standard library alone; the audit is imported when ``--pm-audit`` is given.
"""

from __future__ import annotations

import re
from argparse import BooleanOptionalAction
from copy import copy
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from pm_audit.settings_table import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from pm_audit.records import AuditRecord
    from pm_audit.spec import Settings

_LAST_WORD: pytest.StashKey[object] = pytest.StashKey()
_CLAIM = re.compile(r"^(?:- |  )?claim\s*:", re.MULTILINE)
_TEXTS = re.compile(r"^(?:- |  )?(?:examples|pairs|generate)\s*:", re.MULTILINE)


class Hooks:
    """Hooks that other plug-ins can implement."""

    @pytest.hookspec(firstresult=True)
    def pytest_pm_audit_auditor(
        self,
        config: pytest.Config,
        settings: Settings,
        progress: Callable[[str], None] | None,
    ) -> object | None:
        """Return what audits a hypothesis: a ``pm_audit.pipelines.record.Auditor``.

        It has ``audit(hypothesis) -> HypothesisRecord`` and the properties ``subject``,
        ``method`` and ``environment``.  The default is ``pm_audit.pipelines.audit.Auditor``.
        """

    @pytest.hookspec
    def pytest_pm_audit_record(self, config: pytest.Config, record: AuditRecord) -> None:
        """Receive the finished ``AuditRecord``, on the controller, after it was written."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--pm-audit`` and its settings, all of them ini options too."""
    group = parser.getgroup("pm_audit", "auditing preference models")
    group.addoption(
        "--pm-audit",
        action="store_true",
        default=False,
        help="audit hypotheses and nothing else: the paths named, or the hypotheses folder",
    )
    takes: dict[str, dict[str, Any]] = {
        "text": {"metavar": "VALUE"},
        "list": {"metavar": "VALUE", "action": "append"},
        "flag": {"action": BooleanOptionalAction},
    }
    for setting in SETTINGS:
        option, dest = f"--pm-audit-{setting.option}", f"pm_audit_{setting.name}"
        group.addoption(option, dest=dest, default=None, help=setting.help, **takes[setting.kind])
        ini: Literal["linelist", "string"] = "linelist" if setting.kind == "list" else "string"
        parser.addini(dest, setting.help, type=ini, default=None)
    group.addoption(
        "--pm-audit-inconclusive",
        dest="pm_audit_inconclusive",
        choices=("fail", "pass"),
        default="fail",
        help="what an inconclusive check does to the run (default: fail)",
    )
    group.addoption(
        "--pm-audit-update-baseline",
        dest="pm_audit_update_baseline",
        action="store_true",
        default=False,
        help="write this run, if complete, to the --pm-audit-baseline file",
    )
    group.addoption(
        "--pm-audit-comment",
        dest="pm_audit_comment",
        metavar="FILE",
        default=None,
        help="write a pull request's comment in Markdown: what got worse or better",
    )
    group.addoption(
        "--pm-audit-allow-partial",
        dest="pm_audit_allow_partial",
        action="store_true",
        default=False,
        help="let a run that judged only part of its manifest exit 0; its record stays partial",
    )


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Publish the hooks of ``Hooks``."""
    pluginmanager.add_hookspecs(Hooks)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None, object, object]:
    """Set the last word on the exit status around every hook of the conftests."""
    as_given = copy(early_config.known_args_namespace)
    result = yield
    known = early_config.known_args_namespace
    if getattr(known, "pm_audit", False):
        last_word = import_module("pm_audit.pytest_plugin.last_word").LastWord(
            baseline=known.pm_audit_baseline, known=as_given
        )
        early_config.stash[_LAST_WORD] = last_word
        early_config.pluginmanager.register(last_word)
        last_word.require_outermost(early_config)
    return result


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Import the audit if ``--pm-audit`` is given; give fixtures to ordinary tests otherwise.

    Raises:
        pytest.UsageError: the audit is blocked by ``-p no:``.

    """
    if not config.getoption("pm_audit"):
        fixtures = import_module("pm_audit.pytest_plugin.fixtures")
        config.pluginmanager.register(fixtures, "pm_audit.fixtures")
    else:
        last_word = config.stash.get(_LAST_WORD, None)
        audit_run = import_module("pm_audit.pytest_plugin.run").AuditRun
        run = audit_run(config, settings_given(config), last_word=last_word)
        if config.pluginmanager.register(run, "pm_audit.run") is None:
            raise pytest.UsageError("-p no:pm_audit.run leaves nothing of --pm-audit; give neither")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Name the missing option if pytest finds nothing in a hypothesis.

    Raises:
        pytest.UsageError: as pytest raised it, with what to add.

    """
    try:
        return (yield)
    except pytest.UsageError as error:
        folder = session.config.invocation_params.dir
        named = [str(argument).split("::", 1)[0] for argument in session.config.args]
        found = [path for path in named if path in str(error) and _is_hypothesis(folder / path)]
        if not found or session.config.getoption("pm_audit"):
            raise
        raise pytest.UsageError(
            f"{found[0]} is a hypothesis of pm_audit; add --pm-audit: pytest --pm-audit {found[0]}"
        ) from None


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    """Name the missing option if a project holds hypotheses and pytest found no test."""
    if exitstatus != pytest.ExitCode.NO_TESTS_COLLECTED or config.getoption("pm_audit"):
        return
    folder = config.rootpath / (config.getini("pm_audit_hypotheses") or "hypotheses")
    if any(_is_hypothesis(path) for path in sorted(folder.glob("*.y*ml"))):
        terminalreporter.write_line("to audit the hypotheses of pm_audit: pytest --pm-audit")


def _is_hypothesis(path: Path) -> bool:
    """Whether a file looks like a hypothesis, without reading it as YAML."""
    if path.suffix not in (".yaml", ".yml"):
        return False
    try:
        with path.open(encoding="utf-8") as stream:
            text = stream.read(1 << 16)
    except (OSError, ValueError):
        return False
    return bool(_CLAIM.search(text) and _TEXTS.search(text))


def settings_given(config: pytest.Config) -> dict[str, dict[str, Any]]:
    """Return the settings that were given, by source: ``cli`` and ``ini``."""
    keys = {setting.name: f"pm_audit_{setting.name}" for setting in SETTINGS}
    sources = {
        "cli": {name: config.getoption(key) for name, key in keys.items()},
        "ini": {name: config.getini(key) for name, key in keys.items()},
    }
    # an empty text was given: `--pm-audit-baseline "$UNSET"` must not pass as no baseline at all
    return {
        source: {name: value for name, value in values.items() if value not in (None, [])}
        for source, values in sources.items()
    }
