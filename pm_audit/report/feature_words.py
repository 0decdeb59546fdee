"""The words on which a feature fires: what a reader sees in place of an index.

A token is often a part of a word (``agon`` of *hexagon*), so it is shown with the word around it,
and neighbouring tokens on which the feature fires half as strongly are shown with it.  A token
that stands for no character, such as an end of turn or a line break that the text format appends,
has a name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pm_audit.records import FeatureRecord, Firing

END_OF_TURN = "end of turn"
NO_TEXT = "token without text"
LINE_BREAK = "line break"
_LONGEST = 28
"""Characters of a word that are shown."""

_STRONG = 0.5
"""Share of the strongest activation from which a neighbouring token is shown with it."""

_APOSTROPHES = "'\u2019"
_START_OF_WORD = re.compile(rf"[^\W_][{_APOSTROPHES}\w]*\Z")
_REST_OF_WORD = re.compile(rf"[{_APOSTROPHES}\w]+")


@dataclass(frozen=True, slots=True)
class Word:
    """What a feature fires on."""

    text: str
    named: bool = False
    """The text is a name for what cannot be shown, not text of a completion."""

    def __str__(self) -> str:
        """Return the word in quotation marks, a name without any."""
        return self.text if self.named else f"“{self.text}”"


def words(feature: FeatureRecord, *, most: int = 2) -> tuple[Word, ...]:
    """Return the different words on which a feature fires most, strongest first."""
    found: dict[str, Word] = {}
    for firing in feature.firings:
        word = _word(firing)
        found.setdefault(word.text.casefold(), word)
    return tuple(found.values())[:most]


def label(feature: FeatureRecord) -> str:
    """Return a feature's words in a line, empty if no text is known."""
    return ", ".join(str(word) for word in words(feature))


def name_of_token(firing: Firing) -> str:
    """Return the name of a token that stands for no character."""
    if firing.special is not None:
        return firing.special
    return NO_TEXT if firing.after else END_OF_TURN


def _word(firing: Firing) -> Word:
    if not firing.token:
        return Word(name_of_token(firing), named=True)
    whole = firing.before + firing.token + firing.after
    first, last = _with_neighbours(firing)
    text = whole[first:last]
    core = text.strip()
    if not core:
        return Word(LINE_BREAK if "\n" in text else "white space", named=True)
    first += len(text) - len(text.lstrip())
    last -= len(text) - len(text.rstrip())
    if _joins(core[0]) and (before := _START_OF_WORD.search(whole[max(first - 40, 0) : first])):
        core = before[0] + core
    if _joins(core[-1]) and (after := _REST_OF_WORD.match(whole, last)):
        core += after[0]
    core = core.rstrip(_APOSTROPHES)
    return Word(core if len(core) <= _LONGEST else f"{core[: _LONGEST - 1]}…")


def _with_neighbours(firing: Firing) -> tuple[int, int]:
    """Return the characters of the strongest token and of strong tokens that touch it."""
    first = len(firing.before)
    last = first + len(firing.token)
    least = _STRONG * abs(firing.activation)
    strong = [(a, b) for a, b, activation in firing.others if a < b and abs(activation) >= least]
    for start, end in sorted(strong):
        if start == last and end - first <= _LONGEST:
            last = end
    for start, end in sorted(strong, reverse=True):
        if end == first and start >= 0 and last - start <= _LONGEST:
            first = start
    return first, last


def _joins(character: str) -> bool:
    return character.isalnum() or character in _APOSTROPHES
