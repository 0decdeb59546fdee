"""Wordings: what many texts write in a slot in which other texts write something else.

A group that is active on every full stop is strongest there whatever was written before, so its
strongest piece does not show what moves it.  The data do: where they have two ways of writing one
place, one can be put for the other, and the PM read again.

Two fillings stand in one slot if their neighbours are written alike (a number is as good as any)
and the next ones are of one kind, or if they are the same words otherwise written (other marks or
capitals, or marks alone) and their neighbours are of one kind.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from pm_audit.drafts.edits import PARTNERS, spelled
from pm_audit.drafts.slots import STOPS, Neighbours, Pieces, kind, piece

_LONGEST = 6
"""Pieces of a wording at most."""

_OFTEN = 8
"""Texts that must have a wording."""

_MOSTLY = 0.75
"""Share of its places in which one and the same other makes two wordings one."""

_ATTESTED = 3
"""Texts that must have what is written in its place."""


class Wording(NamedTuple):
    """A filling that is written in some slots in which others are."""

    filling: str
    """Without the white space around it."""
    size: int
    """Its pieces."""

    @classmethod
    def of(cls, filling: str) -> Wording:
        """Return the wording of a filling."""
        return cls(filling.strip(), len(Pieces(filling)))

    @property
    def described(self) -> str:
        """What an edit does with it, as a person reads it."""
        return f"\u201c{spelled(self.filling)}\u201d against what other texts write in its place"

    def within(self, other: Wording) -> bool:
        """Whether it is a part of a larger one."""
        own, larger = Pieces(self.filling).written, Pieces(other.filling).written
        starts = range(len(larger) - len(own) + 1)
        return any(larger[first : first + len(own)] == own for first in starts)


class Spot(NamedTuple):
    """A filling of a text."""

    first: int
    """Its first piece."""
    stop: int
    """One past its last."""
    filling: str
    """White space included."""
    around: tuple[tuple[str, str], tuple[str, str]]
    """The two pieces before it and the two after it, as they are written."""

    @property
    def between(self) -> Neighbours:
        """The pieces next to it."""
        return Neighbours(self.around[0][1], self.around[1][0])


@dataclass(frozen=True, eq=False)
class Wordings:
    """The wordings of a data set's texts.

    Args:
        texts: that may be learned from.

    """

    texts: Sequence[Pieces]
    _found: dict[tuple[Neighbours, str], Counter[str]] = field(default_factory=dict, init=False)

    @cached_property
    def _slots(self) -> dict[Neighbours, Counter[str]]:
        """How many texts have each filling of a slot."""
        found: dict[Neighbours, Counter[str]] = defaultdict(Counter)
        for pieces in self.texts:
            own = {(key, spot.filling) for spot in _spots(pieces) for key in _keys(spot)}
            for key, filling in own:
                found[key][filling] += 1
        return {
            key: kept
            for key, fillings in found.items()
            if len(kept := Counter({f: n for f, n in fillings.items() if n >= _ATTESTED})) > 1
        }

    def common(self, most: int) -> list[Wording]:
        """Return the wordings that stand in most texts, the commonest first.

        Of two that are mostly written for each other, the second is left out.
        """
        texts: Counter[Wording] = Counter()
        others: dict[Wording, Counter[str]] = defaultdict(Counter)
        for pieces in self.texts:
            own = set()
            for spot in _spots(pieces):
                offered = self.others(spot) if spot.filling.strip() else None
                if offered:
                    own.add(wording := Wording(spot.filling.strip(), spot.stop - spot.first))
                    others[wording][offered.most_common(1)[0][0].strip()] += 1
            texts.update(own)
        found: dict[Wording, str] = {}
        for wording, count in sorted(texts.items(), key=lambda one: (-one[1], one[0])):
            if count < _OFTEN or len(found) == most:
                break
            other, times = others[wording].most_common(1)[0]
            if found.get(Wording.of(other)) != wording.filling:
                found[wording] = other if times >= _MOSTLY * others[wording].total() else ""
        return list(found)

    def spots(self, pieces: Pieces, wording: Wording) -> Iterator[Spot]:
        """Yield where a text has a wording that could be another."""
        for first in range(len(pieces) - wording.size + 1):
            spot = _spot(pieces, first, first + wording.size)
            if spot.filling.strip() == wording.filling and self.others(spot):
                yield spot

    def others(self, spot: Spot) -> Counter[str]:
        """Return what other texts have in a slot, or the same words otherwise written."""
        exact, alike = (self._offered(key, spot.filling) for key in _keys(spot))
        written = Counter({one: texts for one, texts in alike.items() if one.strip()})
        return exact or written or alike

    def _offered(self, key: Neighbours, filling: str) -> Counter[str]:
        if (key, filling) not in self._found:
            self._found[key, filling] = Counter(
                {
                    other: texts
                    for other, texts in self._slots.get(key, {}).items()
                    if _is_alternative(other, filling)
                }
            )
        return self._found[key, filling]


def _spots(pieces: Pieces) -> Iterator[Spot]:
    for first in range(len(pieces) + 1):
        for stop in range(first, min(len(pieces), first + _LONGEST) + 1):
            spot = _spot(pieces, first, stop)
            if _whole(spot.filling):
                yield spot


def _spot(pieces: Pieces, first: int, stop: int) -> Spot:
    begin, end = pieces.slot(first, stop)
    before, left = piece(pieces, first - 2), piece(pieces, first - 1)
    right, after = piece(pieces, stop), piece(pieces, stop + 1)
    return Spot(first, stop, pieces.text[begin:end], ((before, left), (right, after)))


def _keys(spot: Spot) -> tuple[Neighbours, Neighbours]:
    """Return the slot by its neighbours, and by their kinds and the words in it."""
    (before, left), (right, after) = spot.around
    return (
        Neighbours((kind(before), _class(left)), (_class(right), kind(after))),
        Neighbours((kind(left), _words(spot.filling)), kind(right)),
    )


def _class(written: str) -> str:
    return "0" if written[0].isdigit() else written


def _words(filling: str) -> tuple[str, str]:
    """Return the words of a filling in small letters, and the stops among them."""
    words = "".join(one for one in filling.lower() if one.isalnum())
    stops = "".join(one for one in filling if one in STOPS)
    return words, stops if words else ""


def _whole(filling: str) -> bool:
    """Whether a filling has both of each pair of brackets and quotes."""
    return all(
        filling.count(opening) % 2 == 0
        if opening == closing
        else filling.count(opening) == filling.count(closing)
        for opening, closing in PARTNERS.items()
    )


def _is_alternative(filling: str, written: str) -> bool:
    """Whether a filling is of about the same size as what is written and differs at both ends.

    If one end were the same, a smaller slot would have the difference.
    """
    other, own = filling.strip(), written.strip()
    if other == own or not other:
        return other != own
    theirs, ours = Pieces(other).written, Pieces(own).written
    most = 2 * min(len(ours), len(theirs)) + 1
    return max(len(ours), len(theirs)) <= most and ours[0] != theirs[0] and ours[-1] != theirs[-1]
