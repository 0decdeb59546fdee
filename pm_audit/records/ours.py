"""Which files a run may replace: those that a run wrote."""

from __future__ import annotations

import re
from pathlib import Path

from pm_audit.errors import RecordError

_START, _END = 256, 1 << 20
"""Bytes of a file that are read to see whether a run wrote it; a page ends in its script."""
_RECORD = re.compile(rb'\s*\{\s*"schema_version"')
_PAGE = b"<footer>Written by pm_audit."
_COMMENT = rb"## pm\_audit: "


def require_ours(path: Path, named: Path) -> None:
    """Refuse to replace a file that no run wrote: a hypothesis, a conftest, someone's page.

    Args:
        path: where a run would write.
        named: the same as the user gave it, for the message.

    Raises:
        RecordError: such a file is there, or it cannot be read.

    """
    if not path.exists():
        return
    try:
        with path.open("rb") as stream:
            start = stream.read(_START)
            stream.seek(max(path.stat().st_size - _END, 0))
            end = stream.read(_END)
    except OSError as error:
        raise RecordError(f"{named}: cannot be read ({error}); name another record") from error
    ours = _RECORD.match(start) or (b"<!doctype html" in start and _PAGE in end)
    ours = ours or start.startswith(_COMMENT)
    if start.strip() and not ours:
        raise RecordError(
            f"{named}: was not written by a run and would be replaced; move it away, or "
            "name another record"
        )
