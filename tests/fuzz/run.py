"""Try mutants one after the other, and tell faults from refusals."""

from __future__ import annotations

import shutil
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pm_audit.errors import AuditError
from tests.fuzz import pm_files, sae_files

SLOW = 5.0
"""Seconds after which a mutant counts as a hang."""


@dataclass
class Outcome:
    """What became of the mutants."""

    loaded: int = 0
    refused: int = 0
    slowest: float = 0.0
    faults: list[str] = field(default_factory=list)


def run(kind: str, first: int, count: int) -> Outcome:
    """Try ``count`` mutants from number ``first`` on."""
    outcome = Outcome()
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        trial = _pms(root) if kind == "pms" else _saes(root)
        for number in range(first, first + count):
            begun = time.perf_counter()
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    trial(number)
                outcome.loaded += 1
            except AuditError as problem:
                outcome.refused += 1
                if len(str(problem)) > 4000:
                    outcome.faults.append(f"{kind} {number}: a message of {len(str(problem))}")
            except Exception as problem:  # noqa: BLE001 - the fault that is looked for
                at = traceback.extract_tb(problem.__traceback__)
                ours = [step for step in at if "pm_audit" in step.filename] or at
                outcome.faults.append(
                    f"{kind} {number}: {type(problem).__name__}: {str(problem)[:160]!r} at "
                    f"{Path(ours[-1].filename).name}:{ours[-1].lineno}"
                )
            seconds = time.perf_counter() - begun
            outcome.slowest = max(outcome.slowest, seconds)
            if seconds > SLOW:
                outcome.faults.append(f"{kind} {number}: took {seconds:.1f} s")
            shutil.rmtree(root / "mutant", ignore_errors=True)
    return outcome


def _saes(root: Path) -> Callable[[int], None]:
    held = sae_files.examples()
    return lambda number: sae_files.use(sae_files.mutated(root / "mutant", held, number))


def _pms(root: Path) -> Callable[[int], None]:
    held = pm_files.build(root / "held")
    return lambda number: pm_files.use(*pm_files.mutated(root / "mutant", held, number))
