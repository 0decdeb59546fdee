"""A scan ends with the same bytes on every engine, and however often it was killed."""

from __future__ import annotations

import math
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pm_audit.errors import AuditError
from pm_audit.scanning.engines import EngineName, Fleet
from pm_audit.scanning.task import Subject
from recipes.planted.linear import plant
from tests.scanning.conftest import Named

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}
MAIN = "from pm_audit.cli import main; main()"
KILLS = int(os.environ.get("PM_AUDIT_KILLS", "3"))
"""At random moments; a release is tried with 50."""
KILLS_A_SCAN = 5


def start(named: Named, folder: Path, *options: str) -> subprocess.Popen[bytes]:
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-c", MAIN, *named.options(folder), *options]
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=ENVIRONMENT
    )


def finish(named: Named, folder: Path, *options: str) -> bytes:
    run = start(named, folder, *options)
    _, said = run.communicate()
    assert run.returncode == 0, said.decode()
    return (folder / "scan.json").read_bytes() + (folder / "scan.html").read_bytes()


def test_every_engine_and_every_interruption_ends_with_the_same_bytes(named, tmp_path):
    expected = finish(named, tmp_path / "whole")
    assert finish(named, tmp_path / "processes", "--workers", "2") == expected

    total, draw, killed = finished(tmp_path / "whole"), random.Random(1), 0
    for scan in range(math.ceil(KILLS / KILLS_A_SCAN)):
        folder, kept = tmp_path / f"killed-{scan}", 0
        moments = sorted(draw.random() for _ in range(min(KILLS_A_SCAN, KILLS)))
        for moment in moments:
            run = start(named, folder)
            while run.poll() is None and finished(folder) < moment * total:
                time.sleep(0.01)
            time.sleep(draw.random() / 4)
            run.kill()
            run.communicate()
            killed += run.returncode == -signal.SIGKILL
            assert finished(folder) >= kept  # what one run finished, the next one did not lose
            kept = finished(folder)
        assert finish(named, folder) == expected
    assert killed > 0


def finished(folder: Path) -> int:
    return len(list(folder.glob("cache/*/[a-z]*")))


def test_ray_with_two_workers_ends_with_the_same_bytes(named, tmp_path):
    expected = finish(named, tmp_path / "whole")
    assert finish(named, tmp_path / "ray", "--engine", "ray", "--workers", "2") == expected


def test_workers_cannot_load_what_was_given_as_objects():
    planted = plant({"!": 1.0})
    subject = Subject(planted.pm, planted.sae)
    with pytest.raises(AuditError, match="give their names or paths"):
        Fleet(subject, workers=2)
    with pytest.raises(AuditError, match="give their names or paths"):
        Fleet(subject, engine=EngineName.RAY)
    with pytest.raises(AuditError, match="at least 1"):
        Fleet(subject, workers=0)
