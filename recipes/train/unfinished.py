"""Unfinished training work: one folder, of one recipe on one set of data, gone when it is done.

A recipe writes its intermediate files into a folder next to its result, with a key that says what
they were made from.  A run resumes from a folder with its own key and refuses any other.  Results
are written to ``made`` in it and moved into place whole.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from pm_audit.errors import AuditError, ModelError
from pm_audit.records import versions_of, write_atomically

KEY, _LOCK, _MADE = "key.json", "lock", "made"
_ABSENT = "nothing"


def work_folder(out: Path) -> Path:
    """Return the folder of unfinished work of a result in ``out``: next to it."""
    whole = out.absolute()
    return whole.with_name(f".{whole.name}.training")


def versions() -> dict[str, str]:
    """Return the releases that a training run's numbers depend on."""
    return versions_of("pm-audit", "torch", "transformers")


@contextlib.contextmanager
def unfinished(place: Path, key: Mapping[str, Any]) -> Iterator[Path]:
    """Give the folder of unfinished work, locked; it is removed when the work is done.

    Args:
        place: the folder; what is there of the same key is kept.
        key: everything that the work is made from, as JSON can hold it.

    Raises:
        AuditError: another run works there, or the work there is of another key, or torn.

    """
    place.mkdir(parents=True, exist_ok=True)
    lock = FileLock(place / _LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise AuditError(f"{place}: another run is training here; wait for its end") from None
    try:
        _take_up(place, json.loads(json.dumps(key)))
        made = place / _MADE
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir()
        yield place
        # the key goes first: should the run be killed here, the next one clears the rest away
        (place / KEY).unlink()
        _clear(place)
    finally:
        lock.release()
    with contextlib.suppress(OSError):
        (place / _LOCK).unlink(missing_ok=True)
        place.rmdir()


def made_in(work: Path) -> Path:
    """Return where results are put before they are moved into their place."""
    return work / _MADE


def move_whole(made: Path, out: Path, *, last: str) -> None:
    """Move a folder of finished files into its place.

    If nothing is there, this is one rename.  If the folder exists, the files are moved one by one;
    ``last``, which marks the folder as finished, is removed first and moved last.
    """
    for file in made.iterdir():
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
    out.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(OSError):
        out.rmdir()  # an empty folder is no obstacle
    if not out.exists():
        made.replace(out)
        return
    (out / last).unlink(missing_ok=True)
    for file in sorted(made.iterdir(), key=lambda file: file.name == last):
        file.replace(out / file.name)


def write_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors next to ``path`` and move them there; a killed run leaves a whole file."""
    temporary = path.with_suffix(".tmp")
    save_file(dict(tensors), temporary)
    temporary.replace(path)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read tensors of unfinished work.

    Raises:
        ModelError: the file is torn.

    """
    try:
        return load_file(path)
    except (OSError, SafetensorError) as problem:
        raise ModelError(
            f"{path}: cannot be read ({problem}); remove this file, and the next run makes it again"
        ) from None


def _take_up(place: Path, key: dict[str, Any]) -> None:
    """Keep the work of this key; clear away work of no key; refuse that of another."""
    path = place / KEY
    if not path.exists():
        _clear(place)
        write_atomically(path, json.dumps(key, indent=1) + "\n")
        return
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError(f"it holds {type(found).__name__}")
    except (OSError, ValueError) as problem:
        raise AuditError(
            f"{path}: cannot be read ({problem}); remove the folder {place} to start again"
        ) from None
    if found != key:
        raise AuditError(
            f"{path}: unfinished work of another recipe or of other data "
            f"({_difference(found, key)}); finish that first, remove the folder {place}, or "
            "choose another folder"
        )


def _difference(found: Mapping[str, Any], key: Mapping[str, Any]) -> str:
    """Say in which entries two keys differ, the first three of them."""
    theirs, ours = _flat(found), _flat(key)
    names = [name for name in {**ours, **theirs} if theirs.get(name) != ours.get(name)]
    return ", ".join(
        f"{name}: {theirs.get(name, _ABSENT)} there, {ours.get(name, _ABSENT)} here"
        for name in names[:3]
    )


def _flat(key: Mapping[str, Any]) -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in key.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{inner}": text for inner, text in _flat(value).items()}
        else:
            flat[name] = str(value)[:40]
    return flat


def _clear(place: Path) -> None:
    """Remove everything but the lock."""
    for entry in place.iterdir():
        if entry.name == _LOCK:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
