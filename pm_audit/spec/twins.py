"""Completions that look alike: readers cannot see what differs, and some PMs do not read it.

Two texts that differ in Unicode composition alone (NFC and NFD) are one text to a tokenizer that
normalizes, and zero-width characters and blanks at the end are easily lost.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence

_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufe00-\ufe0f\ufeff]"
)
_BLANK = re.compile(r"[^\S\n]")


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _visible(text: str) -> str:
    return _INVISIBLE.sub("", _composed(text))


def _evenly_spaced(text: str) -> str:
    # line breaks and runs of blanks inside a text are visible, and may be the claim
    return _BLANK.sub(" ", _visible(text)).strip()


_WAYS: tuple[tuple[Callable[[str], str], str], ...] = (
    (_composed, "Unicode composition (NFC and NFD)"),
    (_visible, "characters that cannot be seen"),
    (_evenly_spaced, "white space"),
)


def twins(texts: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str, str]]:
    """Yield the names of two texts that look alike, and the only thing in which they differ.

    Args:
        texts: the name of each, and the text.

    """
    named: set[str] = set()
    for alike, what in _WAYS:
        first: dict[str, tuple[str, str]] = {}
        for name, text in texts:
            other, written = first.setdefault(alike(text), (name, text))
            if written != text and name not in named:
                named.add(name)
                yield other, name, what
