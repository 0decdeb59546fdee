"""``pairs:`` of a hypothesis: which data set, which of its columns and rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, PlainValidator, WithJsonSchema

from pm_audit.data import Columns, KeyProblem, PairSet, Sample, Scalar, read_pairs
from pm_audit.data.tables import open_table
from pm_audit.errors import InvalidSpec, Problem
from pm_audit.spec.nodes import Node
from pm_audit.spec.project_files import inside, shown
from pm_audit.spec.written import Text, Written

Count = Annotated[int, Field(strict=True, ge=1)]
Seed = Annotated[int, Field(strict=True, ge=0, lt=2**63)]

_VALUE: dict[str, Any] = {"type": ["string", "number", "boolean"]}


def _scalars(value: object) -> Scalar | tuple[Scalar, ...]:
    listed = tuple(value) if isinstance(value, list | tuple) else (value,)
    if listed and all(isinstance(one, str | int | float | bool) for one in listed):
        return listed if isinstance(value, list | tuple) else listed[0]
    raise ValueError(
        "a column must have a text, a number, true or false, or one of a list of these"
    )


Wanted = Annotated[
    Scalar | tuple[Scalar, ...],
    PlainValidator(_scalars),
    WithJsonSchema({"anyOf": [_VALUE, {"type": "array", "minItems": 1, "items": _VALUE}]}),
]


class WrittenSample(Written):
    """How many of the pairs are tried, and which."""

    model_config = ConfigDict(title="Sample")

    size: Count
    """Pairs; all of them if there are no more."""
    seed: Seed = 0
    """Seed of the draw, which does not depend on the order of the rows."""
    by: Text | None = None
    """Column whose values keep their shares in the sample."""


class WrittenPairs(Written):
    """A preference set whose rows take the place of prompts and completions."""

    model_config = ConfigDict(title="Pairs")

    file: Text
    """JSONL, JSON, CSV, TSV, Parquet or Arrow, or a folder of these or of `datasets`, from the
    project root and inside it."""
    prompt: Text | None = None
    """Column of the prompt: a text, an HH transcript or chat messages. Sides that are transcripts
    or whole chats bring their own."""
    example: Text | None = None
    """Column of the examples: a text, a chat, or a list of either; by default `chosen`."""
    counter_example: Text | None = None
    """Column of the counter-examples; by default `rejected`."""
    id: Text | None = None
    """Column of what a pair is called; by default `id`, or else a hash of its content."""
    where: dict[Text, Wanted] = Field(default_factory=dict)
    """By column, the value that a row must have, or a list of values."""
    sample: WrittenSample | None = None
    """Try a sample of the pairs; without it, all of them."""
    strict: bool = Field(default=False, strict=True)
    """Rows that cannot be used are an error; by default they are skipped, counted and listed."""

    @property
    def columns(self) -> Columns:
        """The names of the columns."""
        return Columns(self.prompt, self.example, self.counter_example, self.id)


def read_written(written: WrittenPairs, item: Node, root: Path) -> PairSet:
    """Return the pairs that a hypothesis names.

    Args:
        written: the pairs as its author names them.
        item: the hypothesis, for the lines of its keys.
        root: the project's folder.

    Raises:
        InvalidSpec: the file is outside the project or cannot be read, or holds no pair; each fault
            stands at the key that is wrong, or at the row if `strict` is set.

    """
    name = written.file
    try:
        path = inside(Path(name), root)
        for part in open_table(path).parts:
            inside(part, root)
        sample = written.sample
        found = read_pairs(
            path,
            written.columns,
            where=written.where,
            sample=None if sample is None else Sample(sample.size, sample.seed, sample.by),
            strict=written.strict,
        )
    except InvalidSpec as error:
        raise InvalidSpec(_placed(error, item, root)) from None
    return replace(found, file=shown(path, root.resolve()))


def _placed(error: InvalidSpec, item: Node, root: Path) -> Iterator[Problem]:
    """Yield the problems of a file: of its rows where they are, others at the key that is wrong."""
    for problem in error.problems:
        place = replace(problem.place, file=shown(Path(problem.place.file), root.resolve()))
        if place.line is not None:
            yield Problem(place, problem.message)
            continue
        key = problem.key if isinstance(problem, KeyProblem) else ("file",)
        yield Problem(item.locate(("pairs", *key)), f"{place.file}: {problem.message}")
