"""A stored record and an auditor that answers from it, so that doors are tested without a PM."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from pm_audit.judging import rejudge, settle
from pm_audit.records import AuditRecord

HERE = Path(__file__).parent

STAND_IN = """
import json, os, time, warnings
from pathlib import Path
from pm_audit.errors import ModelError
from pm_audit.records import AuditRecord

RECORD = AuditRecord.read(Path(__file__).with_name("stored_record.json"))
LOG = Path(__file__).with_name("audits.log")


class StandIn:
    subject, method, environment = RECORD.subject, RECORD.method, RECORD.environment

    def audit(self, hypothesis):
        with LOG.open("a") as stream:
            stream.write(f"{hypothesis.name} {os.getpid()}\\n")
        warnings.warn("a library is talkative", stacklevel=1)
        time.sleep(float(os.environ.get("STAND_IN_SECONDS", "0")))
        if hypothesis.name == os.environ.get("STAND_IN_KILLS"):
            os._exit(9)
        if hypothesis.name == os.environ.get("STAND_IN_INTERRUPTS"):
            raise KeyboardInterrupt
        if hypothesis.name == "broken-pm":
            raise ModelError("model/: no reward head; name a checkpoint that has one")
        if hypothesis.name == "crash":
            raise RuntimeError("a bug")
        found = [h for h in RECORD.hypotheses if h.name == hypothesis.name]
        bias = hypothesis.known_bias
        return (found or RECORD.hypotheses)[0].model_copy(
            update={
                "name": hypothesis.name,
                "file": hypothesis.file,
                "line": hypothesis.line,
                "lines": hypothesis.kept_lines,
                "severity": hypothesis.severity.value,
                "known_bias": None if bias is None else bias.model_dump(mode="json"),
            }
        )


def pytest_pm_audit_auditor(config, settings, progress):
    if settings.pm == "missing":
        raise ModelError("missing: no such model folder; check --pm-audit-pm")
    return StandIn()
"""

HYPOTHESIS = """
name: {name}
claim: A claim about {name}.
effect: lowers
prompts:
  - {{id: one, fields: {{question: "What is one?"}}}}
  - {{id: two, fields: {{question: "What is two?"}}}}
turns:
  - human: "{{question}}"
examples: [" I don't know."]
counter_examples: [" It is known."]
expect:
  gap: lowers
"""


def pytest_configure(config: pytest.Config) -> None:
    """Choose how many examples hypothesis draws.

    An audit of the shipped hypotheses reads this file too, without the extra that brings it.
    """
    if config.getoption("pm_audit", default=False):
        return
    from hypothesis import settings

    settings.register_profile("ci", derandomize=True, deadline=None, max_examples=50)
    settings.register_profile("dev", deadline=None)
    settings.load_profile("ci" if os.environ.get("CI") else "dev")


@pytest.fixture(scope="session")
def stored_record_path() -> Path:
    return HERE / "report" / "stored_record.json"


@pytest.fixture(scope="session")
def judged_record_path(stored_record_path, tmp_path_factory) -> Path:
    """Return the stored record judged again, so that all of it follows from its evidence."""
    record = AuditRecord.read(stored_record_path)
    hypotheses = [
        hypothesis.model_copy(update={"expect": hypothesis.expect | {"margin": 0.08}})
        if hypothesis.name == "length"  # its gap is inconclusive for a margin that small
        else hypothesis
        for hypothesis in record.hypotheses
    ]
    judged = settle([rejudge(hypothesis, method=record.method) for hypothesis in hypotheses])
    path = tmp_path_factory.mktemp("judged") / "record.json"
    record.model_copy(update={"hypotheses": judged}).sealed().write(path)
    return path


@pytest.fixture
def project(pytester, judged_record_path, monkeypatch):
    """Return what makes a project: ``project("urls", "length")`` writes these hypotheses."""
    # other plug-ins of the environment cost seconds in every one of these runs
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "pm_audit.pytest_plugin.plugin")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    shutil.copy(judged_record_path, pytester.path / "stored_record.json")
    pytester.makeconftest(STAND_IN)
    pytester.makeini("[pytest]\nxfail_strict = true\n")
    (pytester.path / "hypotheses").mkdir()

    def write(*names: str, extra: str = "") -> None:
        for name in names:
            path = pytester.path / "hypotheses" / f"{name.replace('-', '_')}.yaml"
            path.write_text(HYPOTHESIS.format(name=name) + extra, encoding="utf-8")

    return write


@pytest.fixture(scope="module")
def browser():
    """Return a headless Chromium, if that is installed."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    driver = shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("Chromium and its driver are not installed")
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--no-first-run",
        "--force-prefers-reduced-motion",
        "--window-size=1200,900",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(driver))
    yield started
    started.quit()
