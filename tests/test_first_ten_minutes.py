"""The script with which CI tries README's two commands: what it runs, where, what it demands."""

from __future__ import annotations

import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / ".ci" / "first_ten_minutes"


@pytest.fixture(scope="module")
def script() -> dict:
    return runpy.run_path(str(SCRIPT))


@pytest.mark.parametrize("name", ["audit", "test"])
def test_it_runs_the_block_below_the_marker_to_the_letter(script, name):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert script["command"](name, readme) == f"make {name}\n"
    with pytest.raises(SystemExit, match="no block below <!-- command: walk -->"):
        script["command"]("walk", readme)


def test_the_place_is_as_empty_as_a_new_account(script, tmp_path, monkeypatch):
    for name in ("PYTHONPATH", "VIRTUAL_ENV", "PM_AUDIT_CACHE", "HF_HOME", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, "anything")
    monkeypatch.setenv("PIP_CERT", "/a/certificate")
    found = script["environment"](tmp_path / "home")
    own = {"HOME", "XDG_CACHE_HOME", "TMPDIR", "PATH", "LANG", "CI", "PYTHONUNBUFFERED"}
    assert own <= found.keys()
    assert found["PIP_CERT"] == "/a/certificate"
    assert all(script["KEPT"].fullmatch(name) for name in found.keys() - own)
    assert found["HOME"] == str(tmp_path / "home")
    assert found["XDG_CACHE_HOME"].startswith(found["HOME"])


@pytest.fixture
def clone(tmp_path, stored_record_path):
    """Return a clone after an audit that judged all that it shipped."""
    (tmp_path / "hypotheses").mkdir()
    (tmp_path / "reports").mkdir()
    record = json.loads(stored_record_path.read_text(encoding="utf-8"))
    for one in record["hypotheses"]:
        (tmp_path / "hypotheses" / Path(one["file"]).name).touch()
    shutil.copy(stored_record_path, tmp_path / "reports" / "record.json")
    names = " ".join(one["name"] for one in record["hypotheses"])
    (tmp_path / "reports" / "record.html").write_text(f"<p>{names}</p>")
    return tmp_path


def change(clone: Path, edit) -> None:
    path = clone / "reports" / "record.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    edit(record)
    path.write_text(json.dumps(record), encoding="utf-8")


def test_a_whole_audit_lacks_nothing(script, clone, capsys):
    assert script["whole"](clone) == []
    assert "5 hypotheses, 20 checks, a whole record and a page" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda record: record.update(complete=False), "calls itself incomplete"),
        (lambda record: record["hypotheses"].pop(), "was not judged"),
        (lambda record: record["hypotheses"][0]["checks"].pop(), "has the checks"),
    ],
)
def test_what_an_audit_left_out_is_said(script, clone, edit, said):
    change(clone, edit)
    assert any(said in line for line in script["whole"](clone))


def test_an_audit_without_record_or_page_is_none(script, clone):
    (clone / "reports" / "record.html").write_text("<p>nothing</p>")
    assert script["whole"](clone) == ["no page below reports/ names every hypothesis"]
    (clone / "reports" / "record.json").unlink()
    assert script["whole"](clone) == ["no record was written"]


def test_another_word_is_a_usage_error():
    run = subprocess.run([sys.executable, SCRIPT, "both"], capture_output=True, text=True)
    assert run.returncode == 1
    assert "audit|test" in run.stderr


def test_ci_tries_the_audit_first_and_each_in_a_place_of_its_own():
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    tried = [line.split()[-1] for line in lines if ".ci/first_ten_minutes" in line]
    assert tried == ["audit", "test"]
