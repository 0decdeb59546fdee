"""The folder that the processes of a run share, gone after it: a killed run's goes with the next.

The process that made it holds a lock in it for as long as it lives, which the kernel frees when it
is killed.  A folder whose lock is free is left over; one without a lock is nobody's to judge.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from filelock import FileLock, Timeout

_PREFIX = "pm_audit_"
_LOCK = "run.lock"


class SharedFolder:
    """A new folder of this process, after those of killed runs were removed."""

    def __init__(self) -> None:
        _remove_left_over()
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
            self._lock = FileLock(self.path / _LOCK)
            # before the lock is held, a run that starts now may take the folder for left over
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
    owner = folder.lstat().st_uid  # of the link itself, where it is one
    return not folder.is_symlink() and (not hasattr(os, "getuid") or owner == os.getuid())
