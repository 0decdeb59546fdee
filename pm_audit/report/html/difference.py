"""Completions shortened around what differs between an example and its counter-example."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher

_PARTS = re.compile(r"\s+|\w+|[^\w\s]")
_MOST_PARTS = 400
"""Longer texts are compared by their common start and end alone."""

_AROUND = 22
"""Characters of common text that are kept on each side of a difference."""

_LONGEST = 90
"""Characters of one difference that are shown."""


@dataclass(frozen=True, slots=True)
class Part:
    """A run of text that both completions have, or one that only this completion has."""

    text: str
    differs: bool


def shortened(text: str, other: str | None) -> tuple[Part, ...]:
    """Return a completion with its differences from another marked and the rest cut.

    Without another completion the whole is common text.
    """
    if other is None or text == other:
        return (Part(_cut(text, 2 * _AROUND + _LONGEST), differs=False),)
    runs = _runs(_PARTS.findall(text), _PARTS.findall(other))
    return tuple(
        Part(_cut(run, _LONGEST), differs=True)
        if differs
        else Part(_context(run, first=at == 0, last=at == len(runs) - 1), differs=False)
        for at, (run, differs) in enumerate(runs)
        if run
    )


def _runs(own: list[str], other: list[str]) -> list[tuple[str, bool]]:
    """Return the text in runs, each with whether it is part of the difference."""
    runs: list[tuple[str, bool]] = []
    for start, end, differs in _spans(own, other):
        run = "".join(own[start:end])
        # a lone space between two differences belongs to them
        if runs and differs and len(runs) > 1 and not runs[-1][1] and not runs[-1][0].strip():
            gap, before = runs.pop(), runs.pop()
            run = before[0] + gap[0] + run
        if run:
            runs.append((run, differs))
    return runs


def _spans(own: list[str], other: list[str]) -> list[tuple[int, int, bool]]:
    if max(len(own), len(other)) > _MOST_PARTS:
        return _ends(own, other)
    matcher = SequenceMatcher(None, own, other, autojunk=False)
    return [(start, end, tag != "equal") for tag, start, end, _, _ in matcher.get_opcodes()]


def _ends(own: list[str], other: list[str]) -> list[tuple[int, int, bool]]:
    start = _in_common(own, other)
    end = len(own) - _in_common(own[start:][::-1], other[start:][::-1])
    return [(0, start, False), (start, end, True), (end, len(own), False)]


def _in_common(own: list[str], other: list[str]) -> int:
    pairs = enumerate(zip(own, other, strict=False))
    return next((at for at, (one, two) in pairs if one != two), min(len(own), len(other)))


def _context(run: str, *, first: bool, last: bool) -> str:
    """Cut common text: its end before a difference, its start after one, both between two."""
    if first and last:
        return _cut(run, 2 * _AROUND + _LONGEST)
    if len(run) <= 2 * _AROUND:
        return run
    start = "" if first else _start(run)
    end = "" if last else _end(run)
    return f"{start}…{end}"


def _start(run: str) -> str:
    """Return the first characters of a run, up to a word's end if one is near."""
    kept = run[:_AROUND]
    space = kept.rfind(" ")
    return kept[: space + 1] if space > _AROUND // 2 else kept


def _end(run: str) -> str:
    """Return the last characters of a run, from a word's start if one is near."""
    kept = run[-_AROUND:]
    space = kept.find(" ")
    return kept[space:] if 0 <= space < _AROUND // 2 else kept


def _cut(text: str, width: int) -> str:
    if len(text) <= width:
        return text
    half = (width - 1) // 2
    return f"{text[:half]}…{text[-half:]}"
