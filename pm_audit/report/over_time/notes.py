"""A reviewer's notes, kept in a file next to the record: ``record.notes.yaml``.

- hypothesis: urls
  note: Two of the links are real; the probe needs new ones.
  author: Ada
  day: 2026-11-27

A note without ``hypothesis`` is about the whole record.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from pm_audit.errors import InvalidSpec, Place, Problem
from pm_audit.records import AuditRecord, HypothesisRecord
from pm_audit.report.terminal_writer import shortened
from pm_audit.spec import today
from pm_audit.spec.nodes import Node
from pm_audit.spec.project_files import read_text, shown
from pm_audit.spec.strict_yaml import parse
from pm_audit.spec.validation import near, validate
from pm_audit.spec.written import Day, Written

LONGEST = 4000
"""Characters of a note; more belongs in the ticket that it names."""

_Line = Annotated[str, Field(strict=True, min_length=1, max_length=200)]
_EXAMPLE = "`- {hypothesis: urls, note: ..., author: ..., day: 2026-11-27}`"


class Note(Written):
    """What somebody who read a record wrote about it."""

    hypothesis: _Line | None = None
    """Name of the hypothesis, with or without its objective; left out for the whole record."""
    note: Annotated[str, Field(strict=True, min_length=1, max_length=LONGEST)]
    """What there is to say."""
    author: _Line
    """Who says it."""
    day: Day
    """When, as 2026-11-27."""

    @field_validator("hypothesis", "note", "author")
    @classmethod
    def _visible(cls, text: str | None) -> str | None:
        if text is not None and not any(one.isprintable() and not one.isspace() for one in text):
            raise ValueError("nothing of it is visible; write some text")
        return text

    @field_validator("day")
    @classmethod
    def _past(cls, day: Day) -> Day:
        # a day begins earlier in some places than in UTC
        if day > today() + timedelta(days=1):
            raise ValueError(f"{day} has not come yet; write the day of the note")
        return day

    def about(self, hypothesis: HypothesisRecord) -> bool:
        """Whether the note is about a hypothesis, under one or all of its objectives."""
        return self.hypothesis in (hypothesis.name, hypothesis.short_name)

    @property
    def signature(self) -> str:
        """Return ``Ada, 2026-11-27``."""
        return f"{self.author}, {self.day}"

    def line(self, width: int) -> str:
        """Return the note and who wrote it on one line of about ``width`` characters."""
        return f"{shortened(self.note.strip(), width)} ({self.signature})"


def notes_path(record: Path) -> Path:
    """Return where the notes on a record are: next to it, ``record.notes.yaml``."""
    return record.with_name(f"{record.stem}.notes.yaml")


def read_notes(record_path: Path, record: AuditRecord | None = None) -> tuple[Note, ...]:
    """Return the notes on a record, oldest first; none without a file.

    Args:
        record_path: the record's own file.
        record: what it holds, so that a note on a hypothesis that it does not hold is refused.

    Raises:
        InvalidSpec: the file cannot be read, or holds something else than notes; with every fault.

    """
    path = notes_path(record_path)
    if not os.path.lexists(path):
        return ()
    folder, here = path.parent.resolve(), Path.cwd().resolve()
    root = here if folder.is_relative_to(here) else folder
    top = parse(read_text(folder / path.name, root), shown(folder / path.name, root)).top
    if not isinstance(top.value, list):
        raise InvalidSpec([Problem(top.place, f"write a list of notes, such as {_EXAMPLE}")])
    known = None if record is None else _names(record)
    found: list[Note] = []
    problems: list[Problem] = []
    for node in top.items():
        try:
            note = validate(Note, node)
        except InvalidSpec as error:
            problems += error.problems
            continue
        problems += _unknown(note, node, known)
        found.append(note)
    if problems:
        raise InvalidSpec(problems)
    return tuple(sorted(found, key=lambda note: note.day))


def of_the_whole(notes: Iterable[Note]) -> tuple[Note, ...]:
    """Return the notes that are about no single hypothesis."""
    return tuple(note for note in notes if note.hypothesis is None)


def _names(record: AuditRecord) -> set[str]:
    return {name for one in record.hypotheses for name in (one.name, one.short_name)}


def _unknown(note: Note, node: Node, known: set[str] | None) -> list[Problem]:
    if known is None or note.hypothesis is None or note.hypothesis in known:
        return []
    place: Place = node.locate(("hypothesis",))
    message = f"the record holds no hypothesis {note.hypothesis!a}; "
    return [Problem(place, message + near(note.hypothesis, known))]
