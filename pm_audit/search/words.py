"""The words of a trace's completions; each token is part of one.

A token is often a part of a word (``agon`` of *hexagon*), and a reader sees words.  A token that
stands for no visible character, such as an end of turn, is a word with a name.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from pm_audit.forward.contrast import Floats, Mask
from pm_audit.forward.grid import Integers
from pm_audit.forward.trace import Trace
from pm_audit.records import Feature
from pm_audit.report.feature_words import LINE_BREAK, WHITE_SPACE
from pm_audit.text.text_format import TokenisedRow

Phrase = tuple[int, ...]
"""Spellings of words that follow each other."""

_WORD = re.compile(r"[^\W_](?:['\u2019]?\w)*")
_LONGEST = 28
"""Characters of a word; in a longer one, a sentence without spaces, each token is one."""


class Word(NamedTuple):
    """One word of one completion."""

    row: int
    first: int
    """Its first character in the row's text; of a token without characters, its position."""
    last: int
    """One past its last character."""
    name: str | None = None
    """What stands for it if it has no visible character."""


@dataclass(frozen=True, eq=False)
class Words:
    """Every word of a trace's completions, in the order of the tokens."""

    trace: Trace
    texts: Sequence[TokenisedRow]
    """[row]"""
    words: Sequence[Word]
    of_token: Integers
    """[completion token], the word that it is part of."""

    @classmethod
    def of(cls, trace: Trace, texts: Sequence[TokenisedRow]) -> Words:
        """Return the words of a trace's completions; ``texts`` is [row]."""
        layout, spans = trace.grid.layout, [_spans(text) for text in texts]
        words: list[Word] = []
        of_token = []
        for row, position in zip(
            layout.completion_row.tolist(), layout.completion_position.tolist(), strict=True
        ):
            word = _word(trace, row, position, texts[row], spans[row])
            if not words or words[-1] != word:
                words.append(word)
            of_token.append(len(words) - 1)
        return cls(trace, texts, words, np.array(of_token, dtype=np.int64))

    @cached_property
    def row(self) -> Integers:
        """[word], its row."""
        return np.array([word.row for word in self.words], dtype=np.int64)

    @cached_property
    def named(self) -> Mask:
        """[word], whether a name stands for it."""
        return np.array([word.name is not None for word in self.words], dtype=bool)

    @cached_property
    def spelling(self) -> Integers:
        """[word], one number for all words that differ in capitals alone."""
        numbers: dict[tuple[bool, str], int] = {}
        written = ((word.name is None, self.shown([at])) for at, word in enumerate(self.words))
        spelled = ((plain, text.casefold()) for plain, text in written)
        return np.array([numbers.setdefault(one, len(numbers)) for one in spelled], dtype=np.int64)

    def phrase(self, run: Sequence[int]) -> Phrase:
        """Return the spellings of words that follow each other."""
        return tuple(self.spelling[run].tolist())

    def shown(self, run: Sequence[int]) -> str:
        """Return the text of words that follow each other in a row, or the name of one."""
        first, last = self.words[run[0]], self.words[run[-1]]
        return first.name or self.texts[first.row].text[first.first : last.last]

    def strength(self, feature: Feature) -> Floats:
        """Return a feature's largest activation on each word, [word]; 0 if it is inactive."""
        features = self.trace.features[feature.sae]
        own = features.latent_here == feature.index
        strength = np.zeros(len(self.words))
        values = features.value.cpu().double().numpy()[own]
        np.maximum.at(strength, self.of_token[features.token_here[own]], values)
        return strength

    def within(self, phrase: Phrase) -> Mask:
        """Return which words are part of an occurrence of a phrase, [word]."""
        starts = np.arange(len(self.words) - len(phrase) + 1)
        begun = self.row[starts] == self.row[starts + len(phrase) - 1]
        for step, spelling in enumerate(phrase):
            begun &= self.spelling[starts + step] == spelling
        inside = np.zeros(len(self.words), dtype=bool)
        for step in range(len(phrase)):
            inside[starts[begun] + step] = True
        return inside


def _spans(text: TokenisedRow) -> list[tuple[int, int]]:
    found = (match.span() for match in _WORD.finditer(text.text))
    return [(first, last) for first, last in found if last - first <= _LONGEST]


def _word(
    trace: Trace, row: int, position: int, text: TokenisedRow, spans: Sequence[tuple[int, int]]
) -> Word:
    """Return the word that a token starts in; ``spans`` are those of the row's text."""
    start, end = text.offsets[position]
    shown = text.text[start:end]
    if not shown:
        name: str = trace.pm.text_format.token_name(text.token_ids[position])
        return Word(row, position, position, name)
    if not shown.strip():
        return Word(row, start, end, LINE_BREAK if "\n" in shown else WHITE_SPACE)
    first = end - len(shown.lstrip())
    at = bisect_right(spans, (first, len(text.text))) - 1
    if at >= 0 and first < spans[at][1]:
        return Word(row, *spans[at])
    return Word(row, first, first + len(shown.strip()))
