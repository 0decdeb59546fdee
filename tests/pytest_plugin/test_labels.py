"""The project's labels in a run of pytest: read before it, written into its record once."""

from __future__ import annotations

import sys

import pytest

from pm_audit.records import AuditRecord, LabelSource

COMMAND = """
import json, sys
for line in sys.stdin:
    feature = json.loads(line)["feature"]
    print(json.dumps({"feature": feature, "label": "\\x1b[31m::error::named"}))
open("runs", "a").write("once ")
"""


pytest.importorskip("xdist")


def run(pytester, *arguments: str):
    return pytester.runpytest_subprocess("--pm-audit", *arguments)


def sources(pytester) -> dict[str, LabelSource]:
    record = AuditRecord.read(pytester.path / "reports" / "record.json")
    features = [one for hypothesis in record.hypotheses for one in hypothesis.features]
    return {str(one): one.label.source for one in features if one.label and one.folds}


@pytest.fixture
def command(pytester):
    (pytester.path / "name.py").write_text(COMMAND, encoding="utf-8")
    return f"--pm-audit-label-command='{sys.executable}' name.py"


@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n", "2")], ids=["serial", "xdist"])
def test_file_and_command_name_the_features_of_the_record(project, pytester, command, workers):
    project("i-dont-know", "urls")
    (pytester.path / "labels.yaml").write_text("resid_6/812: mine\nother/1: no SAE\n")
    result = run(pytester, command, *workers)
    result.stdout.fnmatch_lines(
        [
            "*of the gap  mine (resid_6/812)",
            "*of the gap  \\x1b[[]31m:\\x3aerror:\\x3anamed (resid_6/1790)",
            "warning: labels.yaml:2:10: SAE 'other' is not audited*",
        ]
    )
    assert "\x1b" not in result.stdout.str()
    assert sources(pytester) == {
        "resid_6/812": LabelSource.FILE,
        "resid_6/1790": LabelSource.COMMAND,
    }
    assert (pytester.path / "runs").read_text() == "once "


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ("resid_6/812: 5\n", "labels.yaml:1:14: a label is text*"),
        ("resid_6/4096: x\n", "labels.yaml:1:15: latent 4096 is outside SAE resid_6 (0 to 4095)*"),
    ],
)
def test_labels_that_are_wrong_end_the_run_before_any_audit(project, pytester, labels, said):
    project("i-dont-know")
    (pytester.path / "labels.yaml").write_text(labels)
    result = run(pytester)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{said}"])
    assert not (pytester.path / "audits.log").exists()


def test_a_command_that_fails_fails_the_run_and_loses_no_record(project, pytester):
    project("i-dont-know")
    assert run(pytester).ret == 0
    result = run(pytester, f"--pm-audit-label-command='{sys.executable}' -c 1/0")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["exit status 1: label_command * ended with status 1: *"])
    assert sources(pytester)["resid_6/812"] is LabelSource.FIRING
    result = run(pytester, "--pm-audit-label-command=no-such-program")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
