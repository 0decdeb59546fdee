"""Files that are whole or absent: written beside their place, flushed, and moved into it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from pm_audit.errors import RecordError


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write ``content`` beside ``path``, flush it to disk, and move it into place.

    Raises:
        RecordError: the disk is full, the folder is closed, or no regular file stands there.

    """
    _refuse_special(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name[:100]}.", delete=False
        ) as stream:
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
    except OSError as error:
        raise RecordError(
            f"{path}: cannot be written ({error.strerror or error}); free the place or name another"
        ) from error


def require_writable(path: Path) -> None:
    """Refuse a path that ``write_atomically`` would fail at, before hours of work depend on it.

    Raises:
        RecordError: no file can be written there.

    """
    _refuse_special(path)
    folder = next(parent for parent in path.absolute().parents if os.path.lexists(parent))
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise RecordError(f"{path}: {folder} is no folder that can be written to; name another")


def _refuse_special(path: Path) -> None:
    # moving a file onto /dev/null would take the device away from the whole machine
    if os.path.lexists(path) and not path.is_file():
        raise RecordError(f"{path}: is no regular file and would be replaced; name another")
