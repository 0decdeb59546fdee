"""What `pm-audit init` writes: a project that passes its own audit, and a workflow that runs."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pm_audit.cli.starter import write_starter
from pm_audit.pipelines.audit import Auditor
from pm_audit.records import Outcome
from pm_audit.spec import Settings, load_hypotheses

ROOT = Path(__file__).parents[2]
FOLDER = ".github/workflows/pm-audit.yml"


@pytest.fixture
def started(tmp_path) -> Path:
    list(write_starter(tmp_path, pm="default"))
    return tmp_path


def test_its_own_files_load_without_a_warning(started):
    (hypothesis,) = load_hypotheses([started / "hypotheses"], started)
    assert hypothesis.warnings == ()
    assert hypothesis.line_of("known_bias") == hypothesis.line, "commented out"
    text = (started / "hypotheses" / "first.yaml").read_text(encoding="utf-8")
    bias = text[text.index("# known_bias") : text.index("# warn:")]
    uncommented = text.replace(bias, bias.replace("\n# ", "\n").removeprefix("# "))
    (started / "hypotheses" / "first.yaml").write_text(uncommented, encoding="utf-8")
    (hypothesis,) = load_hypotheses([started / "hypotheses"], started)
    assert hypothesis.known_bias is not None
    assert hypothesis.known_bias.ticket == "PM-12"


def test_the_default_pm_passes_it(started):
    (hypothesis,) = load_hypotheses([started / "hypotheses"], started)
    audited = Auditor(Settings()).audit(hypothesis)
    assert {result.outcome for result in audited.checks} == {Outcome.PASS, Outcome.SKIPPED}


def steps(folder: Path) -> dict[str, str]:
    """Return the workflow's commands by the name of their step, as GitHub would read them."""
    # BaseLoader, for YAML 1.1 reads the key `on` as true
    job = yaml.load((folder / FOLDER).read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    assert job["on"] == ["pull_request"]
    assert job["permissions"] == {"contents": "read"}
    (audit,) = job["jobs"].values()
    assert all(step.keys() & {"uses", "run"} for step in audit["steps"])
    assert {step["if"] for step in audit["steps"] if "if" in step} == {"always()"}
    return {step["name"]: step["run"] for step in audit["steps"] if "run" in step}


@pytest.fixture
def step(started, project, pytester):
    """Return what runs a step of the workflow in a project with the auditor that answers."""
    tools = pytester.mkdir("tools")
    own = Path(sys.executable).parent
    for name, command in (
        ("pytest", f"exec {shlex.quote(sys.executable)} -m pytest"),
        ("pm-audit", f"exec {shlex.quote(str(own / 'pm-audit'))}"),
        ("pip", "echo pip"),
    ):
        (tools / name).write_text(f'#!/bin/sh\n{command} "$@"\n')
        (tools / name).chmod(0o755)
    commands = steps(started)

    def run(name: str, **environment: str) -> subprocess.CompletedProcess[str]:
        path = f"{tools}:{os.environ['PATH']}"
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", commands[name]],
            env=os.environ | {"PATH": path} | environment,
            cwd=pytester.path,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_the_install_step_says_what_to_set_until_it_is_set(step):
    unset = step("Install pm-audit", PM_AUDIT="")
    assert unset.returncode == 1
    assert "set PM_AUDIT to where pip finds pm-audit" in unset.stdout
    wheel = "git+https://github.com/OWNER/pm-audit@v0.1.0"
    assert step("Install pm-audit", PM_AUDIT=wheel).stdout == f"pip install {wheel}\n"


def test_the_audit_and_report_steps_run(step, project, pytester):
    project("i-dont-know", "urls")
    first = step("Audit the preference model")
    assert first.returncode == 1, "no baseline yet, and one expectation is not met"
    update = ("--pm-audit-update-baseline", "--pm-audit-gate=regressions")
    baseline = "--pm-audit-baseline=reports/baseline.json"
    assert pytester.runpytest_subprocess("--pm-audit", baseline, *update).ret == 0
    second = step("Audit the preference model")
    assert second.returncode == 0, second.stdout + second.stderr
    assert "1 check is not passed, as before" in second.stdout
    assert (pytester.path / "reports" / "junit.xml").is_file()
    comment = (pytester.path / "reports" / "comment.md").read_text(encoding="utf-8")
    assert comment.startswith("## pm\\_audit: no regression in 2 hypotheses")
    report = step("Render the report")
    assert report.returncode == 0, report.stderr
    assert (pytester.path / "reports" / "report.html").is_file()
    (pytester.path / "reports" / "record.json").unlink()
    assert step("Render the report").returncode == 0, "where the audit was refused"
