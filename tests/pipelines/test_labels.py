"""The labels of a project in the results of an audit: its file, then its command."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest

from pm_audit.errors import AuditError
from pm_audit.pipelines import label_command
from pm_audit.pipelines.labels import Labelling
from pm_audit.records import AuditRecord, HypothesisRecord, LabelSource
from pm_audit.spec import Settings

ECHO = """
import json, sys
with open("asked.jsonl", "a") as log:
    for line in sys.stdin:
        log.write(line)
        feature = json.loads(line)["feature"]
        print(json.dumps({"feature": feature, "label": f"called {feature}"}))
"""


@pytest.fixture(scope="module")
def results(stored_record_path) -> tuple[HypothesisRecord, ...]:
    return AuditRecord.read(stored_record_path).hypotheses


@pytest.fixture
def command(tmp_path):
    """Return a maker of commands that run a Python program in the project."""

    def make(program: str, name: str = "name.py") -> str:
        (tmp_path / name).write_text(program, encoding="utf-8")
        return f"'{sys.executable}' {name}"

    return make


def labels(results) -> dict[str, tuple[str, LabelSource]]:
    features = [feature for result in results for feature in result.features]
    return {str(one): (one.label.text, one.label.source) for one in features if one.label}


def asked(root: Path) -> list[dict]:
    return [json.loads(line) for line in (root / "asked.jsonl").read_text().splitlines()]


def test_without_labels_the_results_stay(results, tmp_path):
    labelling = Labelling.of(Settings(), tmp_path)
    assert labelling.label(results) == (results, None)


def test_the_file_comes_before_the_command_and_both_before_firing(results, tmp_path, command):
    (tmp_path / "labels.yaml").write_text("resid_6/812: mine\nresid_6/44: not selected\n")
    labelling = Labelling.of(Settings(label_command=command(ECHO)), tmp_path)
    labelled, failure = labelling.label(results)
    assert failure is None
    assert labels(labelled) == {
        "resid_6/812": ("mine", LabelSource.FILE),
        "resid_6/1790": ("called resid_6/1790", LabelSource.COMMAND),
        "resid_6/3021": labels(results)["resid_6/3021"],
        "resid_6/44": ("not selected", LabelSource.FILE),
    }
    assert all(
        feature.label.score is None
        for result in labelled
        for feature in result.features
        if feature.label and feature.label.source is not LabelSource.FIRING
    )


def test_the_command_runs_once_and_receives_each_selected_feature_with_its_texts(
    results, tmp_path, command
):
    Labelling.of(Settings(label_command=command(ECHO)), tmp_path).label(results)
    first, second = asked(tmp_path)
    assert (first["feature"], second["feature"]) == ("resid_6/812", "resid_6/1790")
    texts = {
        (firing.before, firing.token, firing.after)
        for result in results
        for feature in result.features
        if feature.index == 812 and feature.folds
        for firing in feature.firings
    }
    assert {(one["before"], one["token"], one["after"]) for one in first["contexts"]} == texts
    assert first["label"] == "“know”, “don't”"
    assert first["promotes"] == ["://", "<b>www</b>"]


def test_a_command_may_leave_features_out(results, tmp_path, command):
    program = "import json; print(); print(json.dumps({'feature': 'resid_6/812', 'label': 'one'}))"
    labelled, failure = Labelling.of(Settings(label_command=command(program)), tmp_path).label(
        results
    )
    assert failure is None
    assert labels(labelled)["resid_6/812"] == ("one", LabelSource.COMMAND)
    assert labels(labelled)["resid_6/1790"] == labels(results)["resid_6/1790"]


ANSWER = "import json; print(json.dumps({answer}))"


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import sys; sys.exit('no key \\x1b[31m')", "ended with status 1: 'no key \\x1b[31m'"),
        ("print('{')", "line 1 of its output is no feature with its label: Invalid JSON"),
        ("print('[' * 100_000)", "line 1 of its output is no feature with its label"),
        ("print('\\n7')", "line 2 of its output is no feature with its label"),
        (ANSWER.format(answer={"feature": "resid_6/812"}), "Field required"),
        (ANSWER.format(answer={"feature": "resid_6/812", "label": 5}), "valid string"),
        (ANSWER.format(answer={"feature": "resid_6/812", "label": " "}), "1 to 200 characters"),
        (ANSWER.format(answer={"feature": "resid_6/812", "label": "x" * 201}), "1 to 200"),
        (ANSWER.format(answer={"feature": "resid_6/1", "label": "x"}), "was not requested"),
        (
            (ANSWER + ";" + ANSWER).format(answer={"feature": "resid_6/812", "label": "x"}),
            "labelled twice",
        ),
        ("print('x' * 5_000_000)", "wrote more than 4,194,304 bytes"),
        ("import sys; sys.stdout.buffer.write(b'\\xff')", "line 1 of its output"),
    ],
)
def test_a_command_that_fails_is_told_and_changes_nothing(
    results, tmp_path, command, program, said
):
    labelling = Labelling.of(Settings(label_command=command(program)), tmp_path)
    labelled, failure = labelling.label(results)
    assert labelled == results
    assert failure is not None
    assert failure.startswith("label_command ")
    assert said in failure
    assert failure.isprintable()


def test_a_command_that_hangs_is_ended_with_all_that_it_started(results, tmp_path, command):
    program = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open("child", "w").write(str(child.pid))
time.sleep(600)
"""
    settings = Settings(label_command=command(program), label_seconds=3)
    started = time.monotonic()
    labelled, failure = Labelling.of(settings, tmp_path).label(results)
    assert time.monotonic() - started < 60
    assert labelled == results
    assert failure is not None
    assert "took longer than 3 seconds" in failure
    assert _ends(int((tmp_path / "child").read_text()))


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="no groups of processes here")
@pytest.mark.parametrize("status", [0, 3])
def test_what_a_command_leaves_behind_ends_with_it(results, tmp_path, command, status):
    program = f"""
import json, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open("child", "w").write(str(child.pid))
print(json.dumps({{"feature": "resid_6/812", "label": "one"}}))
sys.exit({status})
"""
    labelled, failure = Labelling.of(Settings(label_command=command(program)), tmp_path).label(
        results
    )
    assert (failure is None) == (status == 0)
    assert (labels(labelled)["resid_6/812"] == ("one", LabelSource.COMMAND)) == (status == 0)
    assert _ends(int((tmp_path / "child").read_text()))


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_command_that_never_stops_writing_is_ended_at_once(results, tmp_path, command, stream):
    program = f"import sys\nwhile True: print('x' * 1_000_000, file=sys.{stream})"
    settings = Settings(label_command=command(program), label_seconds=600)
    started = time.monotonic()
    labelled, failure = Labelling.of(settings, tmp_path).label(results)
    assert time.monotonic() - started < 60
    assert labelled == results
    assert failure is not None
    assert "wrote more than 4,194,304 bytes" in failure


def _ends(process: int) -> bool:
    for _ in range(100):
        if not _runs(process):
            return True
        time.sleep(0.1)
    return False


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{process}/stat")
    return not (state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("no-such-program --x", "there is no program 'no-such-program'"),
        ("./name.sh", "there is no program './name.sh'"),
        ("'open", "its quotes are not closed"),
        (" ", "its quotes are not closed, or it is empty"),
    ],
)
def test_a_command_that_cannot_be_is_refused_before_the_audit(tmp_path, words, said):
    with pytest.raises(AuditError, match="label_command") as caught:
        Labelling.of(Settings(label_command=words), tmp_path)
    assert said in str(caught.value)


def test_a_program_of_the_project_is_found_from_its_root(tmp_path, monkeypatch):
    script = tmp_path / "name.sh"
    script.write_text("#!/bin/sh\npwd\n")
    script.chmod(0o755)
    monkeypatch.chdir("/")
    assert label_command.program("./name.sh 'a b'", tmp_path)[1:] == ("a b",)
    with pytest.raises(AuditError, match="line 1 of its output"):
        label_command.run("./name.sh", [], root=tmp_path, seconds=60)
