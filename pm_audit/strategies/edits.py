"""Edit programs: what is done to a completion, written so that it fits every completion.

An edit names its place by a number of words.  A text with fewer words is edited at its end, so that
one program gives an edited completion for every prompt.  White space before the first word is the
text format's, and stays.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from pm_audit.errors import TooLongError
from pm_audit.records.base import Record

_WORD = re.compile(r"\S+")
_END = re.compile(r"[^\w\s]+\s*$")

LONGEST = 65_536
"""Characters of an edited text: a few repetitions, one on the other, would fill the memory."""

Place = Annotated[int, Field(ge=0)]
"""A number of words, from 0."""


class Words:
    """A text as words and the white space between them."""

    def __init__(self, text: str) -> None:
        spans = [match.span() for match in _WORD.finditer(text)]
        self.words = [text[start:stop] for start, stop in spans]
        starts = [start for start, _ in spans[1:]] + [len(text)]
        self.lead = text[: spans[0][0]] if spans else text
        self.spaces = [
            text[stop:start] for (_, stop), start in zip(spans, starts, strict=bool(spans))
        ]

    def __len__(self) -> int:
        return len(self.words)

    def last(self, place: int) -> int:
        """Return the word at a place, or the last one of a shorter text."""
        return min(place, len(self) - 1)

    def joined(self) -> str:
        """Return the text."""
        pairs = zip(self.words, self.spaces, strict=True)
        return self.lead + "".join(word + space for word, space in pairs)


class Insert(Record):
    """Words of their own, written after some words of the text."""

    kind: Literal["insert"] = Field(default="insert", repr=False)
    text: str
    after: Place | None = 0
    """Words before it; None for the end of the text."""

    def apply(self, text: str) -> str:
        """Return the edited text."""
        found = Words(text)
        if not found.words:
            return text + self.text
        at = len(found) if self.after is None else min(self.after, len(found))
        if at == len(found):
            tail = found.spaces[-1]
            return f"{text[: len(text) - len(tail)]} {self.text}{tail}"
        found.words[at] = f"{self.text} {found.words[at]}"
        return found.joined()

    def __str__(self) -> str:
        return f"write {_quoted(self.text)} {_after(self.after)}"


class Attach(Record):
    """Characters written right behind a word, such as a mark or white space."""

    kind: Literal["attach"] = Field(default="attach", repr=False)
    text: str
    word: Place = 0

    def apply(self, text: str) -> str:
        """Return the edited text."""
        found = Words(text)
        if found.words:
            found.words[found.last(self.word)] += self.text
        return found.joined()

    def __str__(self) -> str:
        return f"write {_quoted(self.text)} behind {_word(self.word)}"


class Wrap(Record):
    """Something before and something behind a word, or the whole text."""

    kind: Literal["wrap"] = Field(default="wrap", repr=False)
    before: str
    behind: str
    word: Place | None = None
    """None for the whole text."""

    def apply(self, text: str) -> str:
        """Return the edited text."""
        found = Words(text)
        if not found.words:
            return text
        first, last = (0, len(found) - 1) if self.word is None else (found.last(self.word),) * 2
        found.words[first] = self.before + found.words[first]
        found.words[last] += self.behind
        return found.joined()

    def __str__(self) -> str:
        what = "the text" if self.word is None else _word(self.word)
        around = f"{_quoted(self.before)} before" if self.before else ""
        behind = f"{_quoted(self.behind)} behind" if self.behind else ""
        return f"write {' and '.join(filter(None, (around, behind)))} {what}"


class Substitute(Record):
    """Another character in place of the first few of one kind."""

    kind: Literal["substitute"] = Field(default="substitute", repr=False)
    old: str
    new: str
    most: Annotated[int, Field(ge=1)] = 1
    """Characters that are replaced, from the beginning."""

    def apply(self, text: str) -> str:
        """Return the edited text."""
        return text.replace(self.old, self.new, self.most)

    def __str__(self) -> str:
        which = "the first" if self.most == 1 else f"the first {self.most}"
        code = f"U+{ord(self.new[0]):04X}" if self.new else "nothing"
        return f"write {code} for {which} {_quoted(self.old)}"


class Repeat(Record):
    """The end of the text, or all of it, once or several times more."""

    kind: Literal["repeat"] = Field(default="repeat", repr=False)
    words: Annotated[int, Field(ge=1)] | None = 1
    """Words at the end that are repeated; None for the whole text."""
    times: Annotated[int, Field(ge=1, le=16)] = 1

    def apply(self, text: str) -> str:
        """Return the edited text."""
        found = Words(text)
        if not found.words:
            return text
        again = Words(text)
        count = len(again) if self.words is None else min(self.words, len(again))
        words, spaces = again.words[-count:], [*again.spaces[-count:-1], found.spaces[-1]]
        for _ in range(self.times):
            found.spaces[-1] = " "
            found.words += words
            found.spaces += spaces
        return found.joined()

    def __str__(self) -> str:
        what = "the text" if self.words is None else f"the last {_count(self.words)}"
        return f"repeat {what}" + (f" {self.times} times" if self.times > 1 else "")


class Reorder(Record):
    """Words in another order; the white space between them stays."""

    kind: Literal["reorder"] = Field(default="reorder", repr=False)
    how: Literal["swap", "first_last", "last_first", "reverse"] = "swap"
    """``swap`` exchanges a word and the next; ``first_last`` moves the first word to the end,
    ``last_first`` the last to the beginning."""
    word: Place = 0
    """The word that ``swap`` exchanges with the next."""

    def apply(self, text: str) -> str:
        """Return the edited text."""
        found = Words(text)
        words = found.words
        if len(words) < 2:
            return text
        at = min(self.word, len(words) - 2)
        found.words = {
            "swap": [*words[:at], words[at + 1], words[at], *words[at + 2 :]],
            "first_last": [*words[1:], words[0]],
            "last_first": [words[-1], *words[:-1]],
            "reverse": words[::-1],
        }[self.how]
        return found.joined()

    def __str__(self) -> str:
        return {
            "swap": f"exchange {_word(self.word)} and the next",
            "first_last": "move the first word to the end",
            "last_first": "move the last word to the beginning",
            "reverse": "reverse the order of the words",
        }[self.how]


_CASES: Mapping[str, Callable[[str], str]] = {
    "lower": str.lower,
    "upper": str.upper,
    "title": str.title,
    "swap": str.swapcase,
}


class Case(Record):
    """A word, or the whole text, in other letters."""

    kind: Literal["case"] = Field(default="case", repr=False)
    how: Literal["lower", "upper", "title", "swap"] = "lower"
    word: Place | None = None
    """None for the whole text."""

    def apply(self, text: str) -> str:
        """Return the edited text."""
        found = Words(text)
        if self.word is None or not found.words:
            return _CASES[self.how](text)
        at = found.last(self.word)
        found.words[at] = _CASES[self.how](found.words[at])
        return found.joined()

    def __str__(self) -> str:
        what = "the text" if self.word is None else _word(self.word)
        how = "exchanged" if self.how == "swap" else self.how
        return f"put {what} in {how} case"


class Truncate(Record):
    """The text without its last words, or without the marks at its end; a word is always left."""

    kind: Literal["truncate"] = Field(default="truncate", repr=False)
    words: Place = 0
    """Words that are dropped; 0 drops the marks at the end alone."""

    def apply(self, text: str) -> str:
        """Return the edited text."""
        found = Words(text)
        if self.words == 0 or len(found) < 2:
            short = _END.sub("", text)
            return short if short.strip() else text
        kept = max(1, len(found) - self.words)
        found.spaces = [*found.spaces[: kept - 1], found.spaces[-1]]
        found.words = found.words[:kept]
        return found.joined()

    def __str__(self) -> str:
        return f"drop {'the marks at the end' if not self.words else _last(self.words)}"


Edit = Insert | Attach | Wrap | Substitute | Repeat | Reorder | Case | Truncate


class Program(Record):
    """Edits that are made one after the other."""

    edits: tuple[Annotated[Edit, Field(discriminator="kind")], ...]

    def apply(self, text: str) -> str:
        """Return the edited text.

        Raises:
            TooLongError: it grows beyond what a hypothesis can hold.

        """
        for edit in self.edits:
            text = edit.apply(text)
            if len(text) > LONGEST:
                raise TooLongError(
                    f"an edit makes a text of {len(text):,} characters, at most {LONGEST:,} are "
                    "allowed; make fewer edits, or of a shorter text"
                )
        return text

    def __str__(self) -> str:
        return "; then ".join(map(str, self.edits))


PROGRAM: TypeAdapter[Program] = TypeAdapter(Program)
"""Reads a program from JSON."""


def _quoted(text: str) -> str:
    return f"\u201c{text}\u201d" if text.isprintable() else ascii(text)


def _count(words: int) -> str:
    return "word" if words == 1 else f"{words} words"


def _last(words: int) -> str:
    return f"the last {_count(words)}"


def _word(place: int) -> str:
    return f"word {place + 1}"


def _after(words: int | None) -> str:
    if words is None:
        return "at the end"
    return f"after {words} {'word' if words == 1 else 'words'}" if words else "at the beginning"
