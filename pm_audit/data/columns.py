"""Which column is what, and one row as a pair."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from pm_audit.data.dialogue import Dialogue
from pm_audit.data.pair import Pair, Scalar, SkipReason
from pm_audit.data.transcript import (
    Answer,
    NotAPairError,
    read_prompt,
    read_side,
    require_prompt,
)

_PROMPTS = ("prompt", "question", "instruction", "conversations")
_SIDES = (
    ("chosen", "rejected"),
    ("example", "counter_example"),
    ("examples", "counter_examples"),
    ("chosen_response", "rejected_response"),
)


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of columns; None lets the data's own names decide."""

    prompt: str | None = None
    """A text, an HH transcript or chat messages; no column if both sides bring their prompt."""
    example: str | None = None
    """Preferred, or what a hypothesis claims: a text, a chat, or a list of either."""
    counter_example: str | None = None
    """Rejected, or what a hypothesis does not claim."""
    id: str | None = None
    """What a row is called; without it, a hash of its content."""

    def completed(self, known: Collection[str]) -> Columns:
        """Return the columns, those that are not named looked for among ``known``."""
        prompt = self.prompt or next((name for name in _PROMPTS if name in known), None)
        pair = next((pair for pair in _SIDES if set(pair) <= set(known)), (None, None))
        return Columns(
            prompt=prompt,
            example=self.example or pair[0],
            counter_example=self.counter_example or pair[1],
            id=self.id or ("id" if "id" in known else None),
        )

    def named(self) -> dict[str, str]:
        """Return the columns that have a name, by what they are for."""
        every = {
            "prompt": self.prompt,
            "example": self.example,
            "counter_example": self.counter_example,
            "id": self.id,
        }
        return {use: name for use, name in every.items() if name is not None}


class Parsed(NamedTuple):
    """What a row holds, before its id is known to be unique."""

    turns: Dialogue
    examples: tuple[str, ...]
    counter_examples: tuple[str, ...]

    def sha256(self) -> str:
        """Return the hash of the content: equal rows, wherever they stand, are one pair."""
        turns = [(turn.speaker, turn.text) for turn in self.turns]
        content = json.dumps([turns, sorted(self.examples), sorted(self.counter_examples)])
        return hashlib.sha256(content.encode()).hexdigest()


def parse(values: Mapping[str, Any], columns: Columns) -> Parsed:
    """Return what a row holds.

    Raises:
        NotAPairError: the row is no pair.

    """
    examples = _side(values, columns.example or "")
    counter_examples = _side(values, columns.counter_example or "")
    given: Dialogue = ()
    if columns.prompt is not None and not _brought(examples, counter_examples, values, columns):
        given = read_prompt(_value(values, columns.prompt), columns.prompt)
    prompts: dict[Dialogue, Answer] = {}
    for answer in (*examples, *counter_examples):
        prompts.setdefault(_prompt_of(answer, given), answer)
    if len(prompts) > 1:
        detail = "the two sides do not answer the same dialogue"
        raise NotAPairError(SkipReason.PREFIX, detail)
    turns = next(iter(prompts))
    if not turns:
        detail = "neither side brings its prompt; name the prompt's column"
        raise NotAPairError(SkipReason.MISSING, detail)
    parsed = Parsed(
        require_prompt(turns),
        _completions(examples, given),
        _completions(counter_examples, given),
    )
    if set(parsed.examples) & set(parsed.counter_examples):
        raise NotAPairError(SkipReason.IDENTICAL, "one text stands on both sides")
    return parsed


def scalars(values: Mapping[str, Any], columns: Columns) -> dict[str, Scalar]:
    """Return the columns that hold one value, those of the pair itself left out."""
    used = set(columns.named().values()) - {columns.id}
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values.items()
        if name not in used and isinstance(value, str | int | float | bool | None)
    }


def id_of(values: Mapping[str, Any], columns: Columns, sha256: str, taken: Collection[str]) -> str:
    """Return what a row is called: no two rows of a set alike.

    Raises:
        NotAPairError: the column of ids holds a list or an object.

    """
    found = None if columns.id is None else values.get(columns.id)
    if not isinstance(found, str | int | float | None):
        detail = f"`{columns.id}` is {type(found).__name__}, not one value"
        raise NotAPairError(SkipReason.WRONG_TYPE, detail)
    name = sha256[:12] if found is None or found == "" else str(found)
    if name not in taken:
        return name
    longer = (f"{name}-{sha256[:length]}" for length in range(6, len(sha256)))
    return next(one for one in longer if one not in taken)


def pair_of(parsed: Parsed, *, row: int, name: str, columns: dict[str, Scalar]) -> Pair:
    """Return the pair of a row."""
    return Pair(
        id=name,
        row=row,
        turns=parsed.turns,
        examples=parsed.examples,
        counter_examples=parsed.counter_examples,
        columns=columns,
    )


def _value(values: Mapping[str, Any], column: str) -> object:
    if column not in values:
        raise NotAPairError(SkipReason.MISSING, f"has no column `{column}`")
    return values[column]


def _side(values: Mapping[str, Any], column: str) -> tuple[Answer, ...]:
    return read_side(_value(values, column), column)


def _brought(
    examples: Iterable[Answer],
    counter_examples: Iterable[Answer],
    values: Mapping[str, Any],
    columns: Columns,
) -> bool:
    """Whether both sides bring their own prompt, and the row has none besides."""
    every = (*examples, *counter_examples)
    return values.get(columns.prompt or "") is None and all(answer.before for answer in every)


def _prompt_of(answer: Answer, given: Dialogue) -> Dialogue:
    """Return the dialogue that an answer answers.

    A chat may repeat the prompt of its row, go on after it, or bring another; a text that looks
    like a transcript is one only if it repeats the prompt of its row, or there is none.
    """
    if not answer.before or _is_plain(answer, given):
        return given
    if given[-len(answer.before) :] == answer.before:
        return given
    if answer.before[0].speaker == "assistant":
        return (*given, *answer.before)
    return answer.before


def _is_plain(answer: Answer, given: Dialogue) -> bool:
    return bool(answer.verbatim) and bool(given) and answer.before != given


def _completions(answers: Iterable[Answer], given: Dialogue) -> tuple[str, ...]:
    """Return the texts of a side, each once; a text without white space first gets a space."""
    texts = [answer.verbatim if _is_plain(answer, given) else answer.text for answer in answers]
    if not all(text.strip() for text in texts):
        raise NotAPairError(SkipReason.EMPTY, "a completion is empty")
    return tuple(dict.fromkeys(text if text[0].isspace() else f" {text}" for text in texts))
