"""Results of tasks in a folder, each whole or absent, and runs that go on where one was killed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pm_audit.records import write_atomically
from pm_audit.scan.compared import Comparison
from pm_audit.scan.engines import Fleet
from pm_audit.scan.task import Task, key

SHARD = 64
"""Comparisons of a shard."""
BUDGET = 16_384
"""Tokens of both sides that a worker holds at once, if one comparison is not longer by itself."""
_DIGEST = 64


def shards(compared: Sequence[Comparison]) -> list[tuple[Comparison, ...]]:
    """Return the comparisons in shards, in their order."""
    return [tuple(compared[at : at + SHARD]) for at in range(0, len(compared), SHARD)]


@dataclass(frozen=True, eq=False)
class Shop:
    """Where tasks run, and where their results are kept."""

    fleet: Fleet
    folder: Path
    report: Callable[[str], None]

    def run(self, tasks: Sequence[Task]) -> list[bytes]:
        """Return the tasks' results in their order; those that the folder holds are not run again.

        Raises:
            AuditError: a task fails, or the folder cannot be written to.

        """
        places = [self.folder / key(task) for task in tasks]
        found = {at: kept for at, place in enumerate(places) if (kept := _read(place)) is not None}
        missing = [at for at in range(len(tasks)) if at not in found]
        for number, result in self.fleet.run([tasks[at] for at in missing]):
            at = missing[number]
            write_atomically(places[at], _signed(result))
            found[at] = result
            self.report(f"{tasks[at].stage}: {len(found):,} of {len(tasks):,} shards")
        return [found[at] for at in range(len(tasks))]


def _signed(result: bytes) -> bytes:
    return hashlib.sha256(result).hexdigest().encode() + result


def _read(place: Path) -> bytes | None:
    """Return a result if it is there and as it was written."""
    try:
        written = place.read_bytes()
    except OSError:
        return None
    result = written[_DIGEST:]
    return result if written == _signed(result) else None
