"""Plain YAML scalars read by the core schema of YAML 1.2 (https://yaml.org/spec/1.2.2/, 10.3).

Under YAML 1.1, which most parsers still follow, ``No`` and ``on`` are booleans, ``1e-3`` is text,
``0777`` is octal and ``12:30`` is a number.  Here they are text, a number, a decimal and text.
"""

from __future__ import annotations

import re

Value = str | int | float | bool | None

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})
_DECIMAL = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"[-+]?\.(inf|Inf|INF)")
_NAN = frozenset({".nan", ".NaN", ".NAN"})
_LONGEST_NUMBER = 400
"""Digits of the longest number read; Python's own conversion is quadratic in the digits."""


def resolve(text: str) -> Value:
    """Return the value that the unquoted scalar ``text`` stands for.

    Raises:
        ValueError: a number of more digits than any setting could need.

    """
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if text in _NAN:
        return float("nan")
    if _INFINITE.fullmatch(text):
        return float("-inf") if text.startswith("-") else float("inf")
    for pattern, base in ((_DECIMAL, 10), (_OCTAL, 8), (_HEXADECIMAL, 16)):
        if pattern.fullmatch(text):
            _refuse_long(text)
            return int(text.replace("0o", "", 1) if base == 8 else text, base)
    if _FLOAT.fullmatch(text):
        _refuse_long(text)
        return float(text)
    return text


def _refuse_long(text: str) -> None:
    if len(text) > _LONGEST_NUMBER:
        raise ValueError(f"a number of {len(text)} digits; put it in quotes if it is text")
