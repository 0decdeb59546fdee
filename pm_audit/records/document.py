"""JSON in and out: only a regular file of plain JSON is read, only ASCII is written."""

from __future__ import annotations

import json
import math
import stat
from pathlib import Path
from typing import NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from pm_audit.errors import RecordError

Kind = TypeVar("Kind", bound=BaseModel)

_DIGITS = len(str(-(2**63)))

MAX_BYTES = 1 << 30
"""Largest record that is read, in bytes."""


def read_document(path: Path) -> object:
    """Return what a JSON file holds.

    Raises:
        RecordError: missing, not a regular file (a FIFO would block), too large, not UTF-8, not
            JSON, a number that is not finite, or text that is not Unicode.

    """
    try:
        kind = path.stat()
        if not stat.S_ISREG(kind.st_mode):
            raise RecordError(f"{path}: is not a regular file; name a record that a run wrote")
        if kind.st_size > MAX_BYTES:
            raise RecordError(
                f"{path}: larger than {MAX_BYTES:,} bytes, so not a record; name another"
            )
        data: object = json.loads(
            path.read_text(encoding="utf-8"),
            parse_constant=_refuse_number,
            parse_float=_float,
            parse_int=_integer,
        )
        # escapes of JSON can spell half a surrogate pair, which no file or terminal can hold
        json.dumps(data, ensure_ascii=False).encode()
    except FileNotFoundError:
        raise RecordError(f"{path}: no such record; `pytest --pm-audit` writes one") from None
    except UnicodeEncodeError:
        raise RecordError(
            f"{path}: cannot be read as a record: it, or its name, holds a lone surrogate, which "
            "is not text; write it again by auditing"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise RecordError(f"{path}: cannot be read as a record: {error}") from error
    return data


def read_kind(
    kind: type[Kind], path: Path, *, version: int, key: str, name: str, command: str
) -> Kind:
    """Return the record of one kind that a file holds.

    Args:
        kind: of the record.
        path: the file.
        version: that is read.
        key: that records of this kind alone have.
        name: of the kind, for people.
        command: that writes one.

    Raises:
        RecordError: missing, torn, of another kind or of another version.

    """
    data = read_document(path)
    if not isinstance(data, dict) or data.get("schema_version") != version or key not in data:
        raise RecordError(f"{path}: is no {name} of version {version}; write one with `{command}`")
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(map(str, fault["loc"]))
        raise RecordError(
            f"{path}: {place}: {fault['msg']}; write it again with `{command}`"
        ) from None


def _float(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse_number(text)


def _integer(text: str) -> int:
    # more digits than any count or seed has would overflow where they meet a float
    return int(text) if len(text) <= _DIGITS else _refuse_number(text)


def _refuse_number(text: str) -> NoReturn:
    raise ValueError(f"{text[:_DIGITS]} is not a number that a record can hold")


def json_document(data: object, *, indent: int | None = 1) -> str:
    """Return ASCII JSON that a terminal or a job log can print as it is.

    Reading it back gives the same data: characters are escaped, never changed.

    Raises:
        ValueError: a number is not finite.

    """
    separators = (",", ":") if indent is None else None
    document = json.dumps(
        data, ensure_ascii=True, indent=indent, allow_nan=False, separators=separators
    )
    # DEL is ASCII and "##[" can only stand inside a string, where the escape is equivalent
    return document.replace("\x7f", "\\u007f").replace("##[", "##\\u005b")
