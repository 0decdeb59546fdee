"""Files that somebody else wrote: nothing outside their root is opened, all are hashed.

A model folder names further files (``weight_map``, adapters, tokenizer parts), and whoever wrote
the folder chose those names.  Every such name passes through ``confined``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pm_audit.errors import AuditError

_URL = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:")
_JSON_LIMIT = 64 * 2**20


def boundary(folder: Path) -> Path:
    """Return the folder that links inside ``folder`` may reach.

    A snapshot of the Hugging Face cache links into the ``blobs`` folder beside it, so there the
    boundary is the cached repository; everywhere else it is the folder itself.
    """
    resolved = folder.resolve()
    for parent in resolved.parents:
        if parent.name == "snapshots" and parent.parent.name.startswith("models--"):
            return parent.parent
    return resolved


def confined(root: Path, name: str, *, error: type[AuditError]) -> Path:
    """Return the path of the file ``name`` below ``root``.

    Args:
        root: folder that the user named.
        name: path as a file of that folder spells it.
        error: class of the exception, that of the caller's floor.

    Raises:
        AuditError: of class ``error``, where the name is absolute, a URL, holds ``..`` or a
            backslash, or leads outside the root through a link.

    """
    shown = name[:200]
    parts = Path(name).parts
    if not name or "\0" in name or "\\" in name or _URL.match(name):
        raise error(f"{root}: {shown!r} is no plain file name inside the folder; mend the index")
    if name.startswith(("/", "~")) or ".." in parts:
        raise error(f"{root}: {shown!r} leads out of the folder and was not opened; mend the index")
    path = root / name
    if not path.resolve().is_relative_to(boundary(root)):
        raise error(f"{root}: {shown!r} links out of the folder and was not opened; copy the file")
    return path


def read_json(path: Path, *, error: type[AuditError]) -> dict[str, Any]:
    """Read a JSON object of at most 64 MiB.

    Raises:
        AuditError: of class ``error``, where it is missing, too large, or no JSON object.

    """
    try:
        if path.stat().st_size > _JSON_LIMIT:
            raise error(f"{path}: larger than {_JSON_LIMIT} bytes; this is no configuration")
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as problem:
        raise error(f"{path}: cannot be read as JSON: {problem}; fetch the file again") from problem
    if not isinstance(data, dict):
        raise error(
            f"{path}: holds {type(data).__name__}, expected a JSON object; fetch the file again"
        )
    return data


def sha256(paths: Iterable[Path]) -> str:
    """Return the hash of files, names and contents, in the order of their names."""
    total = hashlib.sha256()
    for path in sorted(paths, key=lambda path: path.name):
        with path.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        total.update(f"{path.name}\0{content}\n".encode())
    return total.hexdigest()
