"""Files of a project: every path that a user's file or command names stays inside the root.

Symbolic links are followed first and judged by where they lead, so a link inside the root cannot
lead out of it.  Only regular files are opened, and never more than ``MAX_BYTES`` of one.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from pm_audit.errors import InvalidSpec, Place, Problem

MAX_BYTES = 1 << 20
"""Largest hypothesis or probe file, in bytes; larger data belongs in JSONL or Parquet."""

YAML_SUFFIXES = (".yaml", ".yml")


def shown(path: Path, root: Path) -> str:
    """Return ``path`` as messages and records name it: relative to ``root`` if it lies inside."""
    absolute = path if path.is_absolute() else root / path
    try:
        return absolute.relative_to(root).as_posix()
    except ValueError:
        return path.as_posix()


def inside(path: Path, root: Path) -> Path:
    """Return the real path of ``path``, which starts at ``root`` if it is relative.

    Raises:
        InvalidSpec: the real path lies outside the real root, or a link on the way goes in circles.

    """
    try:
        real = (root / path).resolve()
        if real.is_relative_to(root.resolve()):
            return real
    except (OSError, RuntimeError, ValueError) as error:
        raise _refusal(path, root, f"this path leads nowhere: {error}") from None
    raise _refusal(
        path,
        root,
        f"lies outside the project root {root}; move the file into the project, "
        "or run with the root that holds it",
    )


def read_text(path: Path, root: Path) -> str:
    """Return the text of a regular UTF-8 file inside ``root``.

    Raises:
        InvalidSpec: outside the root, missing, not a regular file, too large, or not UTF-8.

    """
    real = inside(path, root)
    try:
        if not stat.S_ISREG(real.stat().st_mode):
            raise _refusal(path, root, "is not a regular file; name one of text")
        with real.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise _refusal(path, root, "no such file; check the path") from None
    except OSError as error:
        raise _refusal(path, root, f"cannot be read: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise _refusal(
            path, root, f"is larger than {MAX_BYTES:,} bytes; split it, or keep data in JSONL"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _refusal(path, root, "is not UTF-8 text; save it as UTF-8", line) from None


def yaml_files(path: Path, root: Path) -> tuple[Path, ...]:
    """Return the YAML files that ``path`` stands for: itself, or those below it, sorted.

    Hidden files and folders are left out.

    Raises:
        InvalidSpec: outside the root, missing, a file of another suffix, or a folder without YAML.

    """
    real = inside(path, root)
    # a path with `..` is named by its target, so that one file has one name
    located = root / (real.relative_to(root.resolve()) if ".." in path.parts else path)
    if real.is_file():
        if not _is_yaml(located.name):
            raise _refusal(path, root, "is not a YAML file; its name must end in .yaml or .yml")
        return (_named_safely(located, root),)
    if not real.is_dir():
        raise _refusal(path, root, "no such file or folder; check the path")
    found = tuple(sorted(_below(located, root)))
    if not found:
        raise _refusal(path, root, "holds no .yaml or .yml file; write one, or name another folder")
    return found


def _below(folder: Path, root: Path) -> Iterator[Path]:
    """Yield the YAML files below ``folder``; a folder that cannot be read is an error."""

    def refuse(error: OSError) -> NoReturn:
        raise _refusal(Path(error.filename), root, f"cannot be read: {error.strerror}")

    seen = {inside(folder, root)}
    for parent, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        shown_ones = sorted(name for name in folders if not name.startswith("."))
        reached = {name: inside(Path(parent) / name, root) for name in shown_ones}
        folders[:] = [name for name in shown_ones if reached[name] not in seen]
        seen.update(reached.values())
        for name in (*files, *shown_ones):
            if not name.startswith(".") and _is_yaml(name):
                yield _named_safely(Path(parent) / name, root)


def _is_yaml(name: str) -> bool:
    # X.YAML counts too: a hypothesis that is skipped in silence would pass
    return name.lower().endswith(YAML_SUFFIXES)


def _named_safely(path: Path, root: Path) -> Path:
    """Return ``path``: node ids hold it as it is, and reach every log and report."""
    name = shown(path, root)
    if not name.isprintable() or "::" in name:
        where = Place(shown(path.parent, root).encode("ascii", "backslashreplace").decode())
        message = f"the file name {path.name!a} cannot stand in a node id; rename the file"
        raise InvalidSpec([Problem(where, message)])
    return path


def _refusal(path: Path, root: Path, message: str, line: int | None = None) -> InvalidSpec:
    return InvalidSpec([Problem(Place(shown(path, root), line), message)])
