"""The folder that the processes of a run share, and the notes that they leave in it.

The process that makes the folder holds a lock in it for as long as it lives; the kernel frees the
lock when the process is killed.  The next run removes a folder whose lock is free.  A folder
without a lock is left alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import ValidationError

from pm_audit.errors import RecordError
from pm_audit.pipelines.record import Surroundings
from pm_audit.records import Check, write_atomically

_PREFIX = "pm_audit_"
_LOCK = "run.lock"


class SharedFolder:
    """A new folder of this process; those of killed runs are removed first."""

    def __init__(self) -> None:
        _remove_left_over()
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
            self._lock = FileLock(self.path / _LOCK)
            # until the lock is held, a run that starts now may remove the folder
            with contextlib.suppress(Timeout, OSError):
                self._lock.acquire(timeout=0)
                if (self.path / _LOCK).exists():
                    return
            self._lock.release(force=True)

    def remove(self) -> None:
        """Remove it and all in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.release(force=True)


def _remove_left_over() -> None:
    """Remove the folders of this user whose runs were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(Timeout, OSError):
            if not _is_own(folder) or not (folder / _LOCK).is_file():
                continue
            with FileLock(folder / _LOCK).acquire(timeout=0):
                shutil.rmtree(folder, ignore_errors=True)


def _is_own(folder: Path) -> bool:
    owner = folder.lstat().st_uid  # of the link itself, if it is one
    return not folder.is_symlink() and (not hasattr(os, "getuid") or owner == os.getuid())


@dataclass(frozen=True, slots=True)
class Notes:
    """What processes leave for the controller, apart from results."""

    folder: Path

    def write_surroundings(self, surroundings: Surroundings) -> None:
        """Note what was audited, how and where.

        Raises:
            RecordError: another process of this run audited something else.

        """
        earlier = self.read_surroundings()
        if earlier is None:
            write_atomically(self._surroundings, surroundings.model_dump_json())
        elif (earlier.subject, earlier.method) != (surroundings.subject, surroundings.method):
            raise RecordError(
                "the processes of this run audited different PMs or SAEs; "
                "was a file changed while it ran? run it again"
            )

    def read_surroundings(self) -> Surroundings | None:
        """Return what was audited, or None if nothing was."""
        if not self._surroundings.exists():
            return None
        try:
            return Surroundings.model_validate_json(self._surroundings.read_bytes())
        except ValidationError as error:
            raise RecordError(f"{self._surroundings}: cannot be read: {error}") from error

    def write_selected(self, selected: Iterable[tuple[str, Check]]) -> None:
        """Note which checks are left after collection."""
        write_atomically(self.folder / "selected.json", json.dumps(sorted(selected)))

    def read_selected(self) -> frozenset[tuple[str, Check]]:
        """Return the checks that are left after collection; none if nothing was collected."""
        pairs = json.loads(_read(self.folder / "selected.json") or "[]")
        return frozenset((name, Check(check)) for name, check in pairs)

    def write_refusal(self, message: str) -> None:
        """Note why a worker cannot load the subject."""
        write_atomically(self.folder / "refused.txt", message)

    def read_refusal(self) -> str:
        """Return why a worker could not load the subject; empty if none has failed."""
        return _read(self.folder / "refused.txt")

    @property
    def _surroundings(self) -> Path:
        return self.folder / "surroundings.json"


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""
