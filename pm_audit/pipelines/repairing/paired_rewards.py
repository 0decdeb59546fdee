"""Pairs as rows of grids: read prompt by prompt, and what rewards say about each pair.

A prompt's pairs are read together, and a completion that several of them share is read once.  Only
one portion of prompts is in memory at a time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pm_audit.data.dialogue import Dialogue
from pm_audit.data.pair import Pair, PairSet, Skipped, SkipReason
from pm_audit.errors import AuditError, ModelError
from pm_audit.forward.features import Floats
from pm_audit.forward.grid import Grid, Integers, Row
from pm_audit.subject.preference_model import PreferenceModel

PORTION_TOKENS = 12_000
"""Tokens of the rows that are read at once."""


@dataclass(frozen=True, eq=False)
class Portion:
    """Some prompts' completions, and the pairs that compare them."""

    grid: Grid
    pairs: tuple[int, ...]
    """Numbers of the pairs, in the order of ``sides``."""
    sides: tuple[tuple[Integers, Integers], ...]
    """Rows of the examples and of the counter-examples of each pair."""

    def correct(self, rewards: Floats) -> Floats:
        """Return the share of each pair's comparisons that rewards [row] decide like its labels."""
        return np.array([_wins(rewards[one], rewards[other]) for one, other in self.sides])

    def gaps(self, rewards: Floats) -> Floats:
        """Return each pair's mean reward of examples less that of counter-examples."""
        return np.array([rewards[one].mean() - rewards[other].mean() for one, other in self.sides])


@dataclass(frozen=True, eq=False)
class Read:
    """The pairs that a PM can read, and which prompt each has."""

    pairs: tuple[Pair, ...]
    prompt: Integers
    """[pair], number of its dialogue: the unit of inference."""
    skipped: tuple[Skipped, ...]
    rows: dict[tuple[int, str], Row]
    """By prompt and completion."""

    @property
    def prompts(self) -> int:
        """Number of different dialogues."""
        return len(set(self.prompt.tolist()))

    def only(self, kept: Sequence[int]) -> Read:
        """Return some of the pairs, by number."""
        return replace(
            self,
            pairs=tuple(self.pairs[at] for at in kept),
            prompt=self.prompt[np.asarray(kept, dtype=np.int64)],
        )

    def portions(self) -> Iterator[Portion]:
        """Yield the pairs a portion of prompts at a time, every prompt whole."""
        members: dict[int, list[int]] = {}
        for number, prompt in enumerate(self.prompt.tolist()):
            members.setdefault(prompt, []).append(number)
        held: list[int] = []
        tokens = 0
        for own in members.values():
            size = sum(len(self.rows[key].token_ids) for key in self._keys(own))
            if held and tokens + size > PORTION_TOKENS:
                yield self._portion(held)
                held, tokens = [], 0
            held, tokens = held + own, tokens + size
        if held:
            yield self._portion(held)

    def _keys(self, numbers: Sequence[int]) -> dict[tuple[int, str], None]:
        return dict.fromkeys(
            (int(self.prompt[number]), text)
            for number in numbers
            for text in (*self.pairs[number].examples, *self.pairs[number].counter_examples)
        )

    def _portion(self, numbers: Sequence[int]) -> Portion:
        place = {key: at for at, key in enumerate(self._keys(numbers))}

        def rows(number: int, texts: tuple[str, ...]) -> Integers:
            prompt = int(self.prompt[number])
            return np.array([place[prompt, text] for text in texts], dtype=np.int64)

        return Portion(
            Grid(tuple(self.rows[key] for key in place)),
            tuple(numbers),
            tuple(
                (rows(one, self.pairs[one].examples), rows(one, self.pairs[one].counter_examples))
                for one in numbers
            ),
        )


def read(pm: PreferenceModel, pairs: PairSet, *, most_tokens: int | None = None) -> Read:
    """Tokenise pairs; those with a text that is too long are skipped and counted.

    Raises:
        AuditError: no pair is left.

    """
    prompts: dict[Dialogue, int] = {}
    rows: dict[tuple[int, str], Row] = {}
    kept, skipped = [], list(pairs.skipped)
    for pair in pairs.pairs:
        number = prompts.setdefault(pair.turns, len(prompts))
        try:
            own = {
                (number, text): _row(pm, number, pair.turns, text, most_tokens)
                for text in (*pair.examples, *pair.counter_examples)
                if (number, text) not in rows
            }
        except ModelError as error:
            skipped.append(Skipped(pair.row, SkipReason.TOO_LONG, str(error)))
            continue
        rows |= own
        kept.append(pair)
    if not kept:
        raise AuditError(
            f"{pairs.file}: none of its {len(pairs.pairs):,} pairs can be read; "
            f"{len(skipped)} rows were skipped, the first: {skipped[0].detail}"
            if skipped
            else f"{pairs.file}: holds no pair; check the file and its filter"
        )
    number_of = np.array([prompts[pair.turns] for pair in kept], dtype=np.int64)
    return Read(tuple(kept), number_of, tuple(skipped), rows)


def split(read: Read, *, seed: int) -> tuple[Read, Read]:
    """Return the pairs of two halves of the prompts, by a hash of the prompt's text."""
    first = [number for number, pair in enumerate(read.pairs) if _half(pair.turns, seed) == 0]
    taken = set(first)
    return read.only(first), read.only([at for at in range(len(read.pairs)) if at not in taken])


def without_prompts_of(read: Read, other: Read) -> Read:
    """Return the pairs whose prompt is none of another set's."""
    known = {pair.turns for pair in other.pairs}
    return read.only([at for at, pair in enumerate(read.pairs) if pair.turns not in known])


def _half(turns: Dialogue, seed: int) -> int:
    text = "\0".join(f"{turn.speaker}\0{turn.text}" for turn in turns)
    return hashlib.sha256(f"{seed}\0{text}".encode()).digest()[0] % 2


def _row(pm: PreferenceModel, prompt: int, turns: Dialogue, text: str, most: int | None) -> Row:
    found = pm.text_format.tokenise(turns, text)
    if most is not None and len(found.token_ids) > most:
        raise ModelError(f"a text of {len(found.token_ids)} tokens is longer than {most}")
    return Row(prompt, found.token_ids, found.completion_start, found.completion_stop)


def _wins(examples: Floats, others: Floats) -> float:
    difference = examples[:, None] - others[None, :]
    return float(np.mean((difference > 0) + 0.5 * (difference == 0)))
