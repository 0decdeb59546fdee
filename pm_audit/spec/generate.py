"""``generate:`` of a hypothesis: which edits of a base completion are tried."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, WithJsonSchema, model_serializer, model_validator

from pm_audit.errors import InvalidSpec, Place, Problem
from pm_audit.records import Record
from pm_audit.spec.nodes import Node
from pm_audit.spec.project_files import read_text
from pm_audit.spec.validation import near
from pm_audit.spec.written import Text, Written

TEXT = "{text}"
"""Stands for the completion in a template of a register."""

MOST_PHRASES = 10_000
"""Phrases of one edit."""

LONGEST_PHRASE = 2_000
"""Characters of a phrase."""

FEWEST_SEARCHED = 3
FEWEST_JUDGED = 6
"""Prompts without which no gap is judged."""
FEWEST_PROMPTS = FEWEST_SEARCHED + FEWEST_JUDGED
"""Prompts of a hypothesis that generates: at most half are searched, the others judge."""


class EditKind(StrEnum):
    """A kind of edit that needs no phrases; ``pm_audit.strategies`` draws each."""

    PUNCTUATION = "punctuation"
    EMOJI = "emoji"
    MARKUP = "markup"
    WHITE_SPACE = "white_space"
    LOOK_ALIKES = "look_alikes"
    CASING = "casing"
    REPETITION = "repetition"
    REORDERING = "reordering"
    TRUNCATION = "truncation"
    REGISTER = "register"


PHRASED = {
    "insert": "one of which is written after any of the first words",
    "prefix": "one of which is written before the text",
    "suffix": "one of which is written after the text",
    "register": f"which are templates such as `Dear user, {TEXT}`",
}
"""Keys of an edit that is given phrases, and what it does with them."""

_LIST: dict[str, Any] = {
    "type": "array",
    "minItems": 1,
    "items": {"type": "string", "minLength": 1, "maxLength": LONGEST_PHRASE},
}
_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "string", "enum": [kind.value for kind in EditKind]},
        {
            "type": "object",
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": False,
            "properties": {
                key: {
                    "description": f"A list of phrases, or a file with one a line, {about}.",
                    "anyOf": [{"type": "string"}, _LIST],
                }
                for key, about in PHRASED.items()
            },
        },
    ]
}


class WrittenEdit(Record):
    """A kind of edit, with its phrases if it is given some."""

    key: str
    """Name of a kind, or the key of the phrases."""
    phrases: tuple[str, ...] = ()
    file: str | None = None
    """The file that holds the phrases, from the project root, until it is read."""

    @model_validator(mode="before")
    @classmethod
    def _read(cls, written: object) -> object:
        """Read a name, or one key with a file or a list of phrases.

        Raises:
            ValueError: it is neither.

        """
        if isinstance(written, str):
            if written not in list(EditKind):
                raise ValueError(f"no edit is called {written[:40]!a}; {near(written, EditKind)}")
            return {"key": written}
        if not isinstance(written, dict) or len(written) != 1:
            raise ValueError(
                "an edit is a name, or one key with phrases such as `insert: [Great question!]`; "
                "start a new item for each"
            )
        ((key, given),) = written.items()
        if key not in PHRASED:
            raise ValueError(f"no edit {str(key)[:40]!a} takes phrases; {near(str(key), PHRASED)}")
        if isinstance(given, str) and given:
            return {"key": key, "file": given}
        listed = isinstance(given, list | tuple) and len(given) > 0
        if not listed or not all(isinstance(one, str) for one in given):
            raise ValueError(f"`{key}` takes a list of phrases in quotes, or the name of a file")
        for message in _unfit(key, given):
            raise ValueError(f"`{key}`: {message}")
        return {"key": key, "phrases": given}

    @model_serializer
    def _as_written(self) -> object:
        return {self.key: self.file or list(self.phrases)} if self.with_phrases else self.key

    @property
    def with_phrases(self) -> bool:
        """Whether it is given phrases."""
        return bool(self.phrases or self.file)


class WrittenGenerate(Written):
    """Edits of a base completion, drawn by the `hypothesis` library and shrunk."""

    model_config = ConfigDict(title="Generate")

    base: Text
    """The completion that is edited, as a template; the counter-example of every edit."""
    edits: Annotated[
        tuple[Annotated[WrittenEdit, WithJsonSchema(_SCHEMA)], ...], Field(min_length=1)
    ]
    """Kinds of edits: names, or `insert`, `prefix`, `suffix` or `register` with phrases."""
    at_most: Annotated[int, Field(strict=True, ge=1, le=8)] = 3
    """Edits that are made one after the other."""
    examples: Annotated[int, Field(strict=True, ge=1, le=5_000)] = 100
    """Edits, or compositions of them, that are drawn and tried."""
    prompts: Annotated[int, Field(strict=True, ge=FEWEST_SEARCHED, le=100)] = 8
    """Prompts on which all of these are tried, at most half of those that there are; the edit that
    is found is judged on the others."""
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**63)] | None = None
    """Seed of the draw; by default that of the run."""


def read_phrases(written: WrittenGenerate, item: Node, root: Path) -> WrittenGenerate:
    """Return ``generate`` with the phrases that its files hold in their place.

    Args:
        written: as its author writes it.
        item: the hypothesis, for the lines of its keys.
        root: the project's folder.

    Raises:
        InvalidSpec: a file is outside the project, cannot be read or holds no phrase; each fault
            stands at the key that names the file.

    """
    edits: list[WrittenEdit] = []
    problems: list[Problem] = []
    for number, edit in enumerate(written.edits):
        if edit.file is None:
            edits.append(edit)
            continue
        place = item.locate(("generate", "edits", number, edit.key))
        try:
            phrases = _phrases(edit.file, root)
        except InvalidSpec as error:
            problems += [_moved(problem, place) for problem in error.problems]
            continue
        faults = _unfit(edit.key, phrases) if phrases else ["it holds none; write one a line"]
        problems += [Problem(place, f"{_shown(edit.file)}: {message}") for message in faults]
        edits.append(edit.model_copy(update={"phrases": phrases, "file": None}))
    if problems:
        raise InvalidSpec(problems)
    return written.model_copy(update={"edits": tuple(edits)})


def _phrases(file: str, root: Path) -> tuple[str, ...]:
    lines = read_text(Path(file), root).splitlines()
    return tuple(dict.fromkeys(line.strip() for line in lines if line.strip()))


def _moved(problem: Problem, place: Place) -> Problem:
    line = f":{problem.place.line}" if problem.place.line else ""
    return Problem(place, f"{_shown(problem.place.file)}{line}: {problem.message}")


def _shown(file: str) -> str:
    return file if file.isprintable() else ascii(file)


def _unfit(key: str, phrases: Sequence[str]) -> Iterator[str]:
    """Yield what is wrong with phrases."""
    if len(phrases) > MOST_PHRASES:
        yield f"it has {len(phrases):,} phrases, at most {MOST_PHRASES:,} are drawn from"
    for number, phrase in enumerate(phrases, start=1):
        if any("\ud800" <= character <= "\udfff" for character in phrase):
            yield f"phrase {number} holds a lone surrogate; remove it"
        elif not phrase.strip():
            yield f"phrase {number} is blank; `white_space` writes white space"
        elif len(phrase) > LONGEST_PHRASE:
            size = f"{len(phrase):,} characters"
            yield f"phrase {number} has {size}, at most {LONGEST_PHRASE:,} are tried"
        elif key == "register" and phrase.count(TEXT) != 1:
            yield f"phrase {number}, {phrase[:40]!a}, must hold {TEXT} once"
