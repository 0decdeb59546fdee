"""Slots: what a data set's own texts write between the same neighbours.

A text is a sequence of pieces: words, numbers with what joins their parts (a date, a time), and
runs of one mark.  A slot is what stands between two pieces, white space included.  What other
texts have in the slot is what can take its place without a language model: the neighbours are
compared as they are written, and where that finds too little, by their kind alone.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

_PIECE = re.compile(r"[^\W_]+(?:[-'\u2019.,:/@][^\W_]+)*|([^\w\s])\1*|_+")
STOPS = frozenset(".!?\u2026\u3002")

LONGEST = 10
"""Pieces of a filling at most."""

_PLACES = 3_000
"""Places of one kind of neighbour that are searched."""

_OUTSIDE = "\0"
"""Stands for what is before the first piece and after the last."""


@dataclass(frozen=True, eq=False)
class Pieces:
    """A text and where its pieces lie."""

    text: str

    @cached_property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """First and last-plus-one character of each piece."""
        return tuple(match.span() for match in _PIECE.finditer(self.text))

    @cached_property
    def written(self) -> tuple[str, ...]:
        """Each piece as it is written."""
        return tuple(self.text[first:last] for first, last in self.spans)

    def __len__(self) -> int:
        return len(self.spans)

    def slot(self, first: int, stop: int) -> tuple[int, int]:
        """Return the characters from the end of the piece before to the start of the one after."""
        begin = self.spans[first - 1][1] if first else 0
        end = self.spans[stop][0] if stop < len(self) else len(self.text)
        return begin, end

    def within(self, first: int, stop: int) -> str:
        """Return the text of pieces, without the white space around them."""
        return self.text[self.spans[first][0] : self.spans[stop - 1][1]] if stop > first else ""

    def sentence(self, at: int) -> tuple[int, int]:
        """Return the pieces of the sentence or line of a piece, its stop included."""
        first, stop = at, at + 1
        while first and not self._ends(first - 1):
            first -= 1
        while stop < len(self) and not self._ends(stop - 1):
            stop += 1
        return first, stop

    def _ends(self, at: int) -> bool:
        """Whether a sentence or line ends with a piece; the number of an item ends none."""
        after = self.text[self.spans[at][1] : self.slot(at, at + 1)[1]]
        if "\n" in after:
            return True
        begun = at == 1 or (
            at > 1 and "\n" in self.text[self.slot(at - 1, at)[0] : self.spans[at][0]]
        )
        item = begun and self.written[at - 1].isdigit()
        return self.written[at][0] in STOPS and bool(after) and not item


class Neighbours(NamedTuple):
    """What stands on both sides of a slot, exactly or by kind."""

    left: Hashable
    right: Hashable


def neighbours(pieces: Pieces, first: int, stop: int) -> list[Neighbours]:
    """Return the neighbours of a slot, the closest description first."""
    nearer, left = piece(pieces, first - 2), piece(pieces, first - 1)
    right = piece(pieces, stop)
    return [
        Neighbours((nearer, left), right),
        Neighbours(left, right),
        Neighbours((kind(left),), right),
        Neighbours(left, (kind(right),)),
        Neighbours((kind(left),), (kind(right),)),
    ]


class Place(NamedTuple):
    """A slot of a text."""

    text: int
    first: int
    """First piece of its filling."""
    stop: int
    """One past the last."""


class Slots:
    """The slots of a data set's texts."""

    def __init__(self, texts: Sequence[Pieces]) -> None:
        self.texts = texts
        self._after: dict[Hashable, list[tuple[int, int]]] = defaultdict(list)
        for number, pieces in enumerate(texts):
            for first in range(len(pieces) + 1):
                left = piece(pieces, first - 1)
                for key in ((piece(pieces, first - 2), left), left, (kind(left),)):
                    self._after[key].append((number, first))
        self._found: dict[Neighbours, list[Place]] = {}

    def places(self, between: Neighbours) -> list[Place]:
        """Return the slots between such neighbours, empty ones included."""
        if between not in self._found:
            self._found[between] = [
                Place(number, first, stop)
                for number, first in self._after[between.left][:_PLACES]
                for pieces in [self.texts[number]]
                for stop in range(first, min(len(pieces), first + LONGEST) + 1)
                if between.right in (right := piece(pieces, stop), (kind(right),))
            ]
        return self._found[between]

    def filling(self, place: Place) -> str:
        """Return the text of a slot, white space included."""
        begin, end = self.texts[place.text].slot(place.first, place.stop)
        return self.texts[place.text].text[begin:end]


def alike(one: str, other: str) -> bool:
    """Whether both fillings hold words or both hold marks alone."""
    return any(map(str.isalnum, one)) == any(map(str.isalnum, other))


def piece(pieces: Pieces, at: int) -> str:
    """Return a piece as it is written, or what stands for the outside of a text."""
    return pieces.written[at] if 0 <= at < len(pieces) else _OUTSIDE


def kind(written: str) -> str:
    """Return what kind of piece it is; a mark is a kind of its own."""
    if written[0].isdigit():
        return "number"
    if not written[0].isalpha():
        return written
    return "capital" if written[0].isupper() else "word"
