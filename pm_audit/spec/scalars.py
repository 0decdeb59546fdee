"""Plain YAML scalars read by the core schema of YAML 1.2 (https://yaml.org/spec/1.2.2/, 10.3).

Under YAML 1.1, which most parsers still follow, ``No`` and ``on`` are booleans, ``1e-3`` is text,
``0777`` is octal and ``12:30`` is a number.  Here they are text, a number, a decimal and text.
"""

from __future__ import annotations

import re
from collections.abc import Callable

Value = str | int | float | bool | None

_CORE: tuple[tuple[str, Callable[[str], Value]], ...] = (
    ("|~|null|Null|NULL", lambda _: None),
    ("true|True|TRUE", lambda _: True),
    ("false|False|FALSE", lambda _: False),
    (r"[-+]?[0-9]+", int),
    (r"0o[0-7]+", lambda text: int(text, 8)),
    (r"0x[0-9a-fA-F]+", lambda text: int(text, 16)),
    (r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", float),
    (r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", lambda text: float(text.replace(".", ""))),
)
_LONGEST_NUMBER = 400
"""Digits of the longest number read; Python's own conversion is quadratic in the digits."""


def resolve(text: str) -> Value:
    """Return the value that the unquoted scalar ``text`` stands for.

    Raises:
        ValueError: a number of more digits than any setting could need.

    """
    for pattern, read in _CORE:
        if re.fullmatch(pattern, text):
            if len(text) > _LONGEST_NUMBER:
                raise ValueError(f"a number of {len(text)} digits; put it in quotes if it is text")
            return read(text)
    return text
