"""The files of a data set: one, a folder that ``datasets`` saved, or a folder of files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from pm_audit.errors import InvalidSpec, Place, Problem

SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".arrow")
_DESCRIPTIONS = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")
_SHARD = re.compile(r"(.+)-\d{5}-of-\d{5}")


def refuse(path: Path | str, message: str) -> NoReturn:
    """Raise what is wrong with a file, and the remedy.

    Raises:
        InvalidSpec: always.

    """
    raise InvalidSpec([Problem(Place(str(path)), message)])


def kind_of(path: Path) -> str:
    """Return the suffix of a file, that of its compression left out."""
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


def parts_of(path: Path) -> Iterable[Path]:
    """Return the files of a data set, in the order in which they are read.

    Raises:
        InvalidSpec: nothing is there, or it is no one data set.

    """
    if path.is_file():
        if kind_of(path) not in SUFFIXES:
            refuse(path, f"is none of {', '.join(SUFFIXES)}, or a folder of these; convert it")
        return [path]
    if not path.is_dir():
        refuse(path, "there is no such file or folder; check the name")
    if (path / "dataset_dict.json").is_file():
        splits = sorted(child for child in path.iterdir() if (child / "state.json").is_file())
        return parts_of(_only(path, {split.name: split for split in splits}))
    if (path / "state.json").is_file():
        return _saved(path)
    return _children(path)


def _only(path: Path, splits: dict[str, Path]) -> Path:
    if len(splits) != 1:
        named = ", ".join(splits) or "none"
        refuse(path, f"holds several splits ({named}); name the folder of one of them")
    return next(iter(splits.values()))


def _saved(path: Path) -> list[Path]:
    """Return the Arrow files of a folder that ``datasets`` saved."""
    try:
        state = json.loads((path / "state.json").read_text(encoding="utf-8"))
        names = [str(entry["filename"]) for entry in state["_data_files"]]
        indices = state.get("_indices_data_files")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        refuse(path / "state.json", f"does not list the data files ({error}); save the set again")
    if indices:
        refuse(path, "its rows are in an order of their own; save `dataset.flatten_indices()`")
    if any(Path(name).name != name or kind_of(Path(name)) != ".arrow" for name in names):
        refuse(path / "state.json", "names what is no Arrow file of its folder; save the set again")
    return [path / name for name in names]


def _children(path: Path) -> list[Path]:
    files = sorted(
        child
        for child in path.iterdir()
        if child.is_file() and kind_of(child) in SUFFIXES and child.name not in _DESCRIPTIONS
    )
    if not files and (path / "data").is_dir():
        return _children(path / "data")
    kinds = {kind_of(file) for file in files}
    if len(kinds) != 1:
        found = f"files of several kinds ({', '.join(sorted(kinds))})" if kinds else "no data file"
        refuse(path, f"holds {found}; name one file, or a folder with files of one kind")
    splits = {match[1] for file in files if (match := _SHARD.match(file.name))}
    if len(splits) > 1:
        named = ", ".join(sorted(splits))
        refuse(path, f"holds several splits ({named}); put the files of one in a folder of its own")
    return files
