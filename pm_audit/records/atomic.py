"""Files that are whole or absent: written next to their place, flushed, and moved into it.

A run that is killed while it writes leaves its temporary file.  The next one that writes to the
same place removes it: a live writer holds a lock on its file, and what nobody holds is left over.
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
"""Ends the names of temporary files, which no file of a user's has."""
_NAME_KEPT = 50
"""Characters of a file's name that its temporary file keeps: at four bytes each it still fits."""


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write ``content`` beside ``path``, flush it to disk, and move it into place.

    Raises:
        RecordError: the disk is full, the folder is closed, or no regular file stands there.

    """
    _refuse_special(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_left_over(path)
        with _beside(path) as stream:
            beside = Path(stream.name)
            try:
                stream.write(content.encode() if isinstance(content, str) else content)
                stream.flush()
                os.fsync(stream.fileno())
                # a temporary file is private; a report is for whoever may read its folder
                masked = os.umask(0)
                os.umask(masked)
                beside.chmod(0o666 & ~masked)
                beside.replace(path)
            except BaseException:
                beside.unlink(missing_ok=True)
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
            raise RecordError(f"{path}: {folder} is no folder that can be written to; name another")
        # missing folders hide an over-long name behind them until they are made
        longest = os.pathconf(folder, "PC_NAME_MAX") if hasattr(os, "pathconf") else 255
        for part in path.absolute().relative_to(folder.absolute()).parts:
            if len(os.fsencode(part)) > longest:
                raise RecordError(
                    f"{path}: a name in it is longer than the {longest} bytes that this disk "
                    "allows; name another"
                )
        with contextlib.suppress(FileNotFoundError):
            path.lstat()  # refuses what is no name at all
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
        raise RecordError(f"{path}: is no regular file and would be replaced; name another")


def _prefix(path: Path) -> str:
    return f".{path.name[:_NAME_KEPT]}."


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file next to ``path``, locked for as long as it is open."""
    while True:
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=_prefix(path), suffix=_SUFFIX, delete=False
        ) as stream:
            # between its creation and the lock another writer may take it for left over
            if _lock(stream) and Path(stream.name).exists():
                yield stream
                return


def _lock(stream: IO[bytes]) -> bool:
    """Lock an open file, or say that another process holds it."""
    if not _LOCKS:
        return True
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: nothing there is ever taken for left over
        return True
    return True


def _remove_left_over(path: Path) -> None:
    """Remove the temporary files that killed writers of ``path`` left next to it."""
    prefix = _prefix(path)
    for entry in list(path.parent.iterdir()):
        if entry.name.startswith(prefix) and entry.name.endswith(_SUFFIX):
            with contextlib.suppress(OSError), entry.open("rb") as stream:
                if _is_free(stream):
                    entry.unlink()


def _is_free(stream: IO[bytes]) -> bool:
    if not _LOCKS:
        return True
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
