"""Files that are whole or absent: written beside their place, flushed, and moved into it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_atomically(path: Path, text: str) -> None:
    """Write ``text`` beside ``path``, flush it to disk, and move it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False
    ) as stream:
        try:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
            # a temporary file is private; a report is for whoever may read its folder
            masked = os.umask(0)
            os.umask(masked)
            Path(stream.name).chmod(0o666 & ~masked)
        except BaseException:
            Path(stream.name).unlink(missing_ok=True)
            raise
    Path(stream.name).replace(path)
