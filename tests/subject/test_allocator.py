"""The allocator keeps what a batch frees: no page of it is faulted in again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import pm_audit

PROGRAM = """
import resource
import sys

import torch

from pm_audit.subject.allocator import own_process

if sys.argv[1] == "kept":
    assert own_process()
torch.set_num_threads(1)


def batch(tokens):
    stream = torch.ones(tokens, 576)
    for _ in range(3):
        gate, up = stream.repeat(1, 3), stream.repeat(1, 3)
        stream = stream + (gate * up)[:, :576]


batch(2048)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for shorter in range(5):
    batch(2000 - shorter)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator is meant")
def test_freed_buffers_are_used_again():
    faults = {
        mode: int(
            subprocess.run(
                [sys.executable, "-c", PROGRAM, mode], capture_output=True, text=True, check=True
            ).stdout
        )
        for mode in ("kept", "returned")
    }
    # a buffer may find its place in the second batch only; without the setting every batch faults
    assert 4 * faults["kept"] < faults["returned"]
    assert faults["returned"] > 10_000


def test_only_processes_of_pm_audit_itself_are_set():
    package = Path(pm_audit.__file__).parent
    callers = {
        path.relative_to(package).parts[0]
        for path in package.rglob("*.py")
        if "allocator import" in path.read_text(encoding="utf-8")
    }
    assert callers == {"cli", "pytest_plugin"}
