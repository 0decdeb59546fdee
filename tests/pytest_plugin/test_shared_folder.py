"""The folder that a run's processes share is gone after the run, or after the next."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from pm_audit.pytest_plugin.shared_folder import SharedFolder


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def killed(place: Path, folders: int = 1) -> None:
    """Make folders in a process that is killed while it holds them."""
    script = (
        "import os, tempfile\n"
        f"tempfile.tempdir = {str(place)!r}\n"
        "from pm_audit.pytest_plugin.shared_folder import SharedFolder\n"
        f"made = [SharedFolder() for _ in range({folders})]\n"
        "for one in made: (one.path / 'result.json').write_text('{}')\n"
        f"os.kill(os.getpid(), {int(signal.SIGKILL)})\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False)
    assert done.returncode == -signal.SIGKILL


def test_a_killed_runs_folder_goes_with_the_next(place):
    killed(place, folders=3)
    assert len(list(place.iterdir())) == 3
    folder = SharedFolder()
    assert list(place.iterdir()) == [folder.path]
    folder.remove()
    assert list(place.iterdir()) == []


def test_the_folder_of_a_run_that_lives_is_left(place):
    first = SharedFolder()
    second = SharedFolder()
    assert set(place.iterdir()) == {first.path, second.path}
    first.remove()
    second.remove()


def test_what_no_run_made_is_left(place):
    (place / "pm_audit_notes").mkdir()
    (place / "pm_audit_file").write_text("mine")
    elsewhere = place / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "run.lock").touch()
    (place / "pm_audit_link").symlink_to(elsewhere)
    (place / "pm_audit_circle").symlink_to("pm_audit_circle")
    SharedFolder().remove()
    left = {"pm_audit_notes", "pm_audit_file", "elsewhere", "pm_audit_link", "pm_audit_circle"}
    assert {path.name for path in place.iterdir()} == left
    assert (elsewhere / "run.lock").exists()


@pytest.mark.parametrize("options", [("--pm-audit-pm=",), ("-p", "no:pm_audit.run"), ()])
def test_nothing_is_left_of_a_run_that_ends_by_itself(project, pytester, place, options):
    project("i-dont-know")
    pytester.runpytest_inprocess("--pm-audit", *options)
    assert [path.name for path in place.iterdir() if path.name.startswith("pm_audit_")] == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_run_leaves_nothing_after_the_next(project, pytester, place, number):
    project("i-dont-know", "urls")
    own = place / "own"
    own.mkdir()
    environment = os.environ | {"STAND_IN_SECONDS": "30", "TMPDIR": str(own)}
    command = [sys.executable, "-m", "pytest", "--pm-audit"]
    run = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    log = pytester.path / "audits.log"
    ends = time.monotonic() + 60
    while not log.exists() and time.monotonic() < ends:
        time.sleep(0.05)
    run.send_signal(number)
    assert run.wait(timeout=120) != 0
    subprocess.run(
        command, env=environment | {"STAND_IN_SECONDS": "0"}, stdout=subprocess.DEVNULL, check=False
    )
    assert list(own.iterdir()) == []
    assert not list(pytester.path.rglob("*.pm_audit-tmp"))
