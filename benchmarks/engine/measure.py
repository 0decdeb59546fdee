"""CPU seconds, wall seconds and peak memory of a call, each in a process of its own.

The child is forked with the models loaded, so that its memory starts where everyone's starts;
the peak is what the call adds to that.  One thread: CPU seconds are then comparable.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Measured:
    """Cost of a call, and what it returned."""

    cpu_s: float
    """Least of the repeats, in CPU seconds of one core."""
    wall_s: float
    peak_mb: float
    """Most memory held above the start, in MB; 0 where the system does not tell."""
    result: np.ndarray


def measure(call: Callable[[], np.ndarray], *, repeats: int) -> Measured:
    """Run ``call`` in a forked child and return what it cost there.

    Raises:
        RuntimeError: the child died.

    """
    gc.collect()
    _return_freed_memory()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        code = 1
        try:
            with os.fdopen(writer, "wb") as stream:
                pickle.dump(_run(call, repeats), stream)
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        answer = stream.read()
    if os.waitpid(child, 0)[1] != 0 or not answer:
        raise RuntimeError("a measured call died; its traceback stands above")
    return pickle.loads(answer)


def _run(call: Callable[[], np.ndarray], repeats: int) -> Measured:
    import traceback

    try:
        before = _reset_peak()
        costs = []
        for _ in range(repeats):
            wall, cpu = time.perf_counter(), time.process_time()
            result = call()
            costs.append((time.process_time() - cpu, time.perf_counter() - wall))
        cpu_s, wall_s = min(costs)
        return Measured(cpu_s, wall_s, (_status("VmHWM") - before) / 1024, result)
    except BaseException:
        traceback.print_exc()
        raise


def _return_freed_memory() -> None:
    """Give freed heap back to the system: a child that reuses it would seem to need less."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _reset_peak() -> float:
    """Start the kernel's record of peak memory anew; return what is held now, in kB."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return _status("VmHWM")
    return _status("VmRSS")


def _status(field: str) -> float:
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return next(float(line.split()[1]) for line in lines if line.startswith(field))
