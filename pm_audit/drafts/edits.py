"""Minimal edits: the smallest span on which a group is active, replaced by what the data offer.

An edit takes a span of a text (the strongest piece, the run of strong pieces around it, the same
with the partners of its brackets and quotes, or its sentence) and does one thing to it:

* swap: it writes what other texts have between the same neighbours where the group is inactive;
* lower: it writes the span in small letters;
* delete: it takes the span out.

The same edit backwards puts the span into texts that lack it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from pm_audit.drafts.reading import Reading
from pm_audit.drafts.slots import Neighbours, Place, Slots, alike, neighbours

STRONG = 0.5
"""Share of a text's strongest piece from which a neighbour belongs to the run."""

_ATTESTED = 3
"""Texts that must have a filling between such neighbours before it is believed."""

_COMMON = 0.25
"""Share of fillings that the commonest needs, to be taken in every text."""

PARTNERS = {"(": ")", "[": "]", "{": "}", '"': '"', "\u201c": "\u201d", "*": "*", "**": "**"}


class Extent(StrEnum):
    """Which span of a text an edit takes."""

    PIECE = "piece"
    """The strongest piece."""
    RUN = "run"
    """The strong pieces around it."""
    CLOSED = "closed"
    """The run, with the partners of its brackets and quotes."""
    SENTENCE = "sentence"
    """The sentence or line of the strongest piece."""


class Action(StrEnum):
    """What an edit does to its span."""

    SWAP = "swap"
    LOWER = "lower"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Rule:
    """One way of switching a group off in any text."""

    extent: Extent
    action: Action

    @property
    def described(self) -> str:
        """What it does, as a person reads it."""
        return f"{self.action.value} the {self.extent.value} on which the group is active"


RULES = tuple(
    Rule(extent, action)
    for action in Action
    for extent in Extent
    if action is not Action.LOWER or extent in (Extent.PIECE, Extent.RUN)
)
"""All rules; those that keep the length come first, and of these the smaller spans."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One edit of one text: between which neighbours what was written in place of what."""

    between: Neighbours
    removed: str
    """With the white space around it."""
    written: str
    at: int
    """First character of both."""
    text: str
    """The text after the edit."""

    @property
    def shown(self) -> tuple[str, str]:
        """What was removed and what was written, without white space around them."""
        return self.removed.strip(), self.written.strip()


@dataclass(frozen=True, eq=False)
class Editor:
    """Edits texts by what one group's inactive texts offer.

    Args:
        slots: of the texts that may be learned from.
        readings: of the same texts.
        features: the group, by the numbers of its features.
        quiet: strength below which the group is inactive.
        seed: of draws among fillings of which none is common.

    """

    slots: Slots
    readings: Sequence[Reading]
    features: Sequence[int]
    quiet: float
    seed: int

    def edit(self, reading: Reading, rule: Rule, *, prefer: str | None = None) -> Edit | None:
        """Return the edit of a text by a rule; None if there is nothing to do it with.

        Args:
            reading: the text, in which the group is active.
            rule: what is done.
            prefer: what a swap writes wherever other texts have it in the slot, even if seldom.

        """
        first, stop = self.span(reading, rule.extent)
        begin, end = reading.pieces.slot(first, stop)
        removed = reading.text.completion[begin:end]
        inner = reading.pieces.within(first, stop)
        exact = neighbours(reading.pieces, first, stop)[1]
        if rule.action is Action.LOWER:
            return self._made(reading, exact, begin, removed, removed.replace(inner, inner.lower()))
        if rule.action is Action.DELETE:
            last = stop == len(reading.pieces)
            gap = "" if last or reading.pieces.written[stop][0] in ".,;:!?)" else removed[:1]
            gap = gap if gap.isspace() else ""
            return self._made(reading, exact, begin, removed, gap)
        described = neighbours(reading.pieces, first, stop)
        fillings = [self._fillings(between, removed, stop - first) for between in described]
        for between, offered in zip(described, fillings, strict=True):
            if prefer is not None and prefer in offered:
                return self._made(reading, between, begin, removed, prefer)
        for between, offered in zip(described, fillings, strict=True):
            filling = drawn(offered, self.seed)
            if filling is not None:
                return self._made(reading, between, begin, removed, filling)
        return None

    def span(self, reading: Reading, extent: Extent) -> tuple[int, int]:
        """Return the pieces that an edit takes, first and last-plus-one."""
        strength, pieces = reading.strength(self.features), reading.pieces
        peak = int(strength.argmax())
        if extent is Extent.PIECE:
            return peak, peak + 1
        if extent is Extent.SENTENCE:
            return pieces.sentence(peak)
        first, stop = peak, peak + 1
        while first and strength[first - 1] >= STRONG * strength[peak]:
            first -= 1
        while stop < len(pieces) and strength[stop] >= STRONG * strength[peak]:
            stop += 1
        return (first, stop) if extent is Extent.RUN else _closed(reading, first, stop)

    def insert(self, reading: Reading, edits: Sequence[Edit]) -> Edit | None:
        """Return the first of these edits backwards, in a text that has what it writes."""
        for edit in edits:
            for first in range(len(reading.pieces) + 1):
                for stop in range(first, min(len(reading.pieces), first + 4) + 1):
                    begin, end = reading.pieces.slot(first, stop)
                    if reading.text.completion[begin:end] != edit.written:
                        continue
                    if edit.between in neighbours(reading.pieces, first, stop):
                        return self._made(reading, edit.between, begin, edit.written, edit.removed)
        return None

    def elsewhere(self, reading: Reading, edit: Edit, places: Sequence[int]) -> Iterator[Edit]:
        """Yield edits of the same size and kind elsewhere in a text that ``edit`` has made."""
        words = any(map(str.isalnum, edit.removed + edit.written))
        stop_of_edit = edit.at + max(len(edit.written), 1)
        for first in places:
            begin, end = reading.pieces.slot(first, first + 1)
            apart = end < edit.at or begin > stop_of_edit
            written = reading.pieces.written[first]
            if not apart or any(map(str.isalnum, written)) != words:
                continue
            found = self.edit_at(reading, first)
            if found is not None:
                yield found

    def edit_at(self, reading: Reading, first: int) -> Edit | None:
        """Return a swap of one piece, or its deletion if nothing else stands in its place."""
        begin, end = reading.pieces.slot(first, first + 1)
        removed = reading.text.completion[begin:end]
        for between in neighbours(reading.pieces, first, first + 1)[:3]:
            filling = drawn(self._fillings(between, removed, 1), self.seed)
            if filling is not None:
                return self._made(reading, between, begin, removed, filling)
        gap = removed[:1] if removed[:1].isspace() else ""
        between = neighbours(reading.pieces, first, first + 1)[1]
        return self._made(reading, between, begin, removed, gap)

    def _fillings(self, between: Neighbours, removed: str, size: int) -> Counter[str]:
        """Return what inactive texts have between such neighbours, of about the same size.

        Nothing is returned if it stands in fewer than ``_ATTESTED`` texts.
        """
        found: Counter[str] = Counter()
        texts = set()
        for place in self.slots.places(between):
            filling = self.slots.filling(place)
            if place.stop - place.first > 2 * size + 1 or not filling.strip():
                continue
            if filling.strip() == removed.strip() or not alike(filling, removed):
                continue
            if self._inactive(place):
                found[filling] += 1
                texts.add(place.text)
        return found if len(texts) >= _ATTESTED else Counter()

    def _inactive(self, place: Place) -> bool:
        strength = self.readings[place.text].strength(self.features)
        return bool(strength[place.first : place.stop].max(initial=0.0) < self.quiet)

    def _made(
        self, reading: Reading, between: Neighbours, at: int, removed: str, written: str
    ) -> Edit | None:
        whole = reading.text.completion
        text = whole[:at] + written + whole[at + len(removed) :]
        if text == whole or not text.strip():
            return None
        return Edit(between, removed, written, at, text)


def _closed(reading: Reading, first: int, stop: int) -> tuple[int, int]:
    """Return a span with the partners of its brackets and quotes."""
    written = reading.pieces.written
    for opening, closing in PARTNERS.items():
        inside = written[first:stop]
        opened, closed = inside.count(opening), inside.count(closing)
        if opening == closing and opened % 2:
            # a mark that opens is the odd one of those before
            opens = written[:stop].count(opening) % 2 == 1
            closed = opened - 1 if opens else opened
            opened = opened if opens else opened - 1
        if opened > closed and closing in written[stop:]:
            stop = written.index(closing, stop) + 1
        if closed > opened and opening in written[:first]:
            first = first - 1 - written[:first][::-1].index(opening)
    return first, stop


def drawn(offered: Counter[str], seed: int | tuple[int, ...]) -> str | None:
    """Return the commonest filling, or one at random if none is common; None of nothing."""
    if not offered:
        return None
    filling, count = offered.most_common(1)[0]
    if count >= _COMMON * offered.total():
        return filling
    every = sorted(offered.elements())
    own = (seed,) if isinstance(seed, int) else seed
    return every[int(np.random.default_rng((*own, len(every))).integers(len(every)))]


def common(edits: Sequence[Edit]) -> list[Edit]:
    """Return the edits, those whose words occur most often first, each once."""
    count = Counter((edit.removed, edit.written) for edit in edits)
    order = sorted(edits, key=lambda edit: -count[edit.removed, edit.written])
    return list({(edit.removed, edit.written, edit.between): edit for edit in order}.values())


_SPACE = re.compile(r"\s+")


def spelled(text: str, most: int = 40) -> str:
    """Return a text on one line, shortened."""
    line = _SPACE.sub(" ", text).strip()
    return line if len(line) <= most else f"{line[: most - 1]}\u2026"
