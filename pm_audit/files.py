"""Files that somebody else wrote: nothing outside their root is opened, all are hashed.

A model folder names further files (``weight_map``, adapters, tokenizer parts).  Every such name
passes through ``confined``.  Errors are of the class ``error``, that of the caller's floor.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pm_audit.errors import AuditError

_URL = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:")
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_JSON_LIMIT = 64 * 2**20
_MOST_ENTRIES = 100_000
_POINTER = b"version https://git-lfs"


def exists(path: str | Path) -> bool:
    """Whether anything is at ``path``; False for a name that no system allows."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False


def is_hub_name(name: str) -> bool:
    """Whether ``name`` is spelled like one of the Hugging Face hub: ``organisation/model``."""
    return _HUB_NAME.fullmatch(name) is not None


def named(path: str | Path, *, error: type[AuditError]) -> Path:
    """Return the path that a user named, which may be absent, if the system allows such a path."""
    text = str(path)
    shown = text if len(text) <= 200 else f"{text[:200]}..."
    if not text or "\0" in text:
        raise error(f"{shown!r} is not a path: it is empty or holds a NUL; check the name")
    try:
        Path(text).stat()
    except UnicodeEncodeError:
        raise error(f"{shown!r} is not a path: it holds a lone surrogate; check the name") from None
    except PermissionError as problem:
        raise error(f"{shown!r} may not be read; check its permissions") from problem
    except OSError as problem:
        if problem.errno == errno.ENAMETOOLONG:
            raise error(f"{shown!r} is longer than a path may be; check the name") from problem
    return Path(text)


def check_links(folder: Path, *, error: type[AuditError]) -> None:
    """Refuse a folder in which anything, at any depth, is a link out of it."""
    seen = 0
    for place, folders, files in os.walk(folder, followlinks=False):
        for name in (*folders, *files):
            seen += 1
            path = Path(place, name)
            if path.is_symlink():
                confined(folder, str(path.relative_to(folder)), error=error)
        if seen > _MOST_ENTRIES:
            raise error(
                f"{folder}: holds more than {_MOST_ENTRIES} files, so it cannot be a model's own "
                "folder; name the folder that has config.json and the weights"
            )


def refuse_pointer(path: Path, *, error: type[AuditError]) -> None:
    """Refuse a pointer that Git LFS left in the place of a file."""
    try:
        with path.open("rb") as stream:
            start = stream.read(len(_POINTER))
    except OSError:
        return  # the reader of the file reports what is wrong with it
    if start == _POINTER:
        raise error(
            f"{path}: is a Git LFS pointer, not the file itself; run `git lfs pull` in its folder"
        )


def boundary(folder: Path) -> Path:
    """Return the folder that links inside ``folder`` may reach.

    A snapshot of the Hugging Face cache links into the ``blobs`` folder next to it, so its boundary
    is the cached repository; that of any other folder is the folder itself.
    """
    resolved = folder.resolve()
    for parent in resolved.parents:
        if parent.name == "snapshots" and parent.parent.name.startswith("models--"):
            return parent.parent
    return resolved


def confined(root: Path, name: str, *, error: type[AuditError]) -> Path:
    """Return the path of the file ``name`` below the folder ``root`` that the user named.

    Refused are names that are absolute, a URL, hold ``..`` or a backslash, or link out of the root.
    """
    shown = name[:200]
    parts = Path(name).parts
    if not name or "\0" in name or "\\" in name or _URL.match(name):
        raise error(f"{root}: {shown!r} is not a plain file name inside the folder; fix the index")
    if name.startswith(("/", "~")) or ".." in parts:
        raise error(f"{root}: {shown!r} leads out of the folder and was not opened; fix the index")
    path = root / name
    try:
        target = path.resolve()
    except (OSError, RuntimeError) as problem:  # too long a name, or links in a circle
        raise error(
            f"{root}: {shown!r} leads nowhere and was not opened; fetch the file again"
        ) from problem
    if not target.is_relative_to(boundary(root)):
        raise error(f"{root}: {shown!r} links out of the folder and was not opened; copy the file")
    return path


def read_json(path: Path, *, error: type[AuditError]) -> dict[str, Any]:
    """Return a JSON object of at most 64 MiB."""
    refuse_pointer(path, error=error)
    try:
        if path.stat().st_size > _JSON_LIMIT:
            raise error(
                f"{path}: larger than {_JSON_LIMIT} bytes, so not a configuration; fetch it again"
            )
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
