"""Reading a record's file: anything but a regular file of plain JSON is refused at once."""

from __future__ import annotations

import json
import math
import stat
from pathlib import Path
from typing import NoReturn

from pm_audit.errors import RecordError

_DIGITS = len(str(-(2**63)))

MAX_BYTES = 1 << 30
"""Largest record that is read, in bytes."""


def read_document(path: Path) -> object:
    """Return what a JSON file holds.

    Raises:
        RecordError: missing, no regular file (a FIFO would wait for ever), too large, no UTF-8, no
            JSON, a number that is not finite, or text that is not Unicode.

    """
    try:
        kind = path.stat()
        if not stat.S_ISREG(kind.st_mode):
            raise RecordError(f"{path}: is no regular file; name a record that a run has written")
        if kind.st_size > MAX_BYTES:
            raise RecordError(f"{path}: is larger than {MAX_BYTES:,} bytes; this is no record")
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
            "is no text; write it again by auditing"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise RecordError(f"{path}: cannot be read as a record: {error}") from error
    return data


def _float(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse_number(text)


def _integer(text: str) -> int:
    # more digits than any count or seed has would overflow where they meet a float
    return int(text) if len(text) <= _DIGITS else _refuse_number(text)


def _refuse_number(text: str) -> NoReturn:
    raise ValueError(f"{text[:_DIGITS]} is no number that a record can hold")
