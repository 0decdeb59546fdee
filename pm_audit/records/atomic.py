"""Files that are whole or absent: written next to their place, flushed, and moved into it.

A run that is killed while it writes leaves its temporary file.  The next one that writes to the
same place removes it: a live writer holds a lock on its file, and an unlocked one is left over.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from pm_audit.errors import RecordError

try:
    import fcntl
except ImportError:  # Windows, where a file that is open cannot be removed at all
    _LOCKS = False
else:
    _LOCKS = True

_SUFFIX = ".pm_audit-tmp"
"""Ends the names of temporary files alone."""
_NAME_KEPT = 50
"""Characters of a file's name that its temporary file keeps: at four bytes each it still fits."""


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write ``content`` next to ``path``, flush it to disk, and move it into place.

    Raises:
        RecordError: the disk is full, the folder is closed, or ``path`` is not a regular file.

    """
    _refuse_special(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_left_over(path)
        with _temporary(path) as stream:
            temporary = Path(stream.name)
            try:
                stream.write(content.encode() if isinstance(content, str) else content)
                stream.flush()
                os.fsync(stream.fileno())
                # a temporary file is private; a report is for whoever may read its folder
                masked = os.umask(0)
                os.umask(masked)
                temporary.chmod(0o666 & ~masked)
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RecordError(
            f"{path}: cannot be written ({reason}); free the place or name another"
        ) from error


def require_writable(path: Path) -> None:
    """Refuse a path that ``write_atomically`` would fail at, before hours of work depend on it.

    Raises:
        RecordError: no file can be written there.

    """
    try:
        _refuse_special(path)
        folder = next(parent for parent in path.absolute().parents if os.path.lexists(parent))
        if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            raise RecordError(
                f"{path}: {folder} is not a folder that can be written to; name another"
            )
        # missing folders hide an over-long name behind them until they are made
        longest = os.pathconf(folder, "PC_NAME_MAX") if hasattr(os, "pathconf") else 255
        for part in path.absolute().relative_to(folder.absolute()).parts:
            if len(os.fsencode(part)) > longest:
                raise RecordError(
                    f"{path}: a name in it is longer than the {longest} bytes that this disk "
                    "allows; name another"
                )
        with contextlib.suppress(FileNotFoundError):
            path.lstat()  # refuses what cannot be a name
        # access says what the mode allows, not whether the disk takes a file
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, ValueError) as error:
        raise RecordError(
            f"{path}: no file can be written there ({error}); name another"
        ) from error


def _refuse_special(path: Path) -> None:
    # moving a file onto /dev/null would take the device away from the whole machine
    if os.path.lexists(path) and not path.is_file():
        raise RecordError(f"{path}: is not a regular file and would be replaced; name another")


def _prefix(path: Path) -> str:
    return f".{path.name[:_NAME_KEPT]}."


@contextlib.contextmanager
def _temporary(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file next to ``path``, locked for as long as it is open."""
    while True:
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=_prefix(path), suffix=_SUFFIX, delete=False
        ) as stream:
            # between its creation and the lock another writer may take it for left over
            if _lock(stream, without_locks=True) and Path(stream.name).exists():
                yield stream
                return


def _lock(stream: IO[bytes], *, without_locks: bool) -> bool:
    """Lock an open file, or return whether it counts as ours on a file system without locks."""
    if not _LOCKS:
        return True
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:  # another process holds it
        return False
    except OSError:
        return without_locks
    return True


def _remove_left_over(path: Path) -> None:
    for entry in list(path.parent.iterdir()):
        if entry.name.startswith(_prefix(path)) and entry.name.endswith(_SUFFIX):
            with contextlib.suppress(OSError), entry.open("rb") as stream:
                if _lock(stream, without_locks=False):
                    entry.unlink()
