"""Two completions of one prompt, laid out so that only what differs between them is read.

The diverging part of a side begins at the first token in which the two sides differ.  It takes the
completion's place: features are read, attributed and replaced there, and what comes before is
read once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from pm_audit.data import Dialogue, Pair
from pm_audit.errors import ModelError
from pm_audit.forward.grid import Grid, Row
from pm_audit.subject.preference_model import PreferenceModel
from pm_audit.text.text_format import TokenisedRow

CHOSEN, REJECTED = 0, 1
"""Sides of a comparison; row ``2 k + side`` of a grid is a side of comparison k."""


class Comparison(NamedTuple):
    """One preferred and one rejected completion of a prompt."""

    pair: int
    """Index of its pair in the set."""
    turns: Dialogue
    chosen: str
    rejected: str

    def content(self) -> list[Any]:
        """Return what its results depend on, as plain JSON."""
        written = [[turn.speaker.value, turn.text] for turn in self.turns]
        return [written, self.chosen, self.rejected]


def comparisons(pairs: Sequence[Pair]) -> tuple[Comparison, ...]:
    """Return the pairs' comparisons: a pair's examples and counter-examples matched in order.

    Of two lists that differ in length the shorter one is repeated, so that every text is read.
    """
    return tuple(
        Comparison(
            number,
            pair.turns,
            pair.examples[at % len(pair.examples)],
            pair.counter_examples[at % len(pair.counter_examples)],
        )
        for number, pair in enumerate(pairs)
        for at in range(max(len(pair.examples), len(pair.counter_examples)))
    )


def share_of_prompt(turns: Dialogue, *, seed: int) -> float:
    """Return a number from 0 to 1 that is uniform over prompts, and the same for one prompt.

    It splits prompts into parts without regard to the order of rows.
    """
    written = "\0".join(f"{turn.speaker.value}\0{turn.text}" for turn in turns)
    digest = hashlib.sha256(f"{seed}\0{written}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


class Sides(NamedTuple):
    """Both sides of a comparison as tokens."""

    chosen: TokenisedRow
    rejected: TokenisedRow
    start: int
    """First position in which they differ, or where the shorter completion stops."""

    @property
    def texts(self) -> tuple[TokenisedRow, TokenisedRow]:
        """Return both sides."""
        return self.chosen, self.rejected

    @property
    def tokens(self) -> int:
        """Return the tokens of both."""
        return len(self.chosen.token_ids) + len(self.rejected.token_ids)


def tokenised(pm: PreferenceModel, one: Comparison) -> Sides | str:
    """Return a comparison as tokens, or why the PM cannot read it."""
    try:
        chosen, rejected = (
            pm.text_format.tokenise(one.turns, text) for text in (one.chosen, one.rejected)
        )
    except ModelError as error:
        return str(error)
    same = (
        at
        for at, (a, b) in enumerate(zip(chosen.token_ids, rejected.token_ids, strict=False))
        if a != b
    )
    shorter = min(len(text.token_ids) for text in (chosen, rejected))
    start = max(next(same, shorter), min(chosen.completion_start, rejected.completion_start))
    stops = (text.completion_stop or len(text.token_ids) for text in (chosen, rejected))
    return Sides(chosen, rejected, min(start, *stops))


def portions(sides: Sequence[Sides], budget: int) -> Iterator[range]:
    """Yield consecutive comparisons of at most ``budget`` tokens together, or one comparison.

    The portions, and so the batches of every product, depend on the texts alone.
    """
    first = tokens = 0
    for at, one in enumerate(sides):
        if tokens and tokens + one.tokens > budget:
            yield range(first, at)
            first, tokens = at, 0
        tokens += one.tokens
    if first < len(sides):
        yield range(first, len(sides))


def diverging(sides: Sequence[Sides]) -> Grid:
    """Return a grid of both sides of each comparison whose completions are the diverging parts."""
    return Grid(
        tuple(
            Row(number, text.token_ids, one.start, text.completion_stop)
            for number, one in enumerate(sides)
            for text in one.texts
        )
    )
