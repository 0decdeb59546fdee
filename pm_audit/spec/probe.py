"""Probes: reusable sets of prompts, each with the fields that completions fill in.

A prompt is the unit of inference.  Its wordings are paraphrases of one question and count as one
cluster, because a preference model that likes one wording likes the others.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from pm_audit.spec.written import FieldName, Name, Text, Written, WrittenTurn

QUESTION = "question"
"""The field that holds the wording; turns use it as ``{question}``."""

DEFAULT_TURNS = (WrittenTurn(human="{question}"),)
"""A prompt without turns is one question."""

Turns = Annotated[tuple[WrittenTurn, ...], Field(min_length=1)]


class Prompt(Written):
    """One prompt: a question in one or more wordings, and what completions can fill in."""

    id: Name
    """Name of the prompt, once in its probe."""
    wordings: Annotated[tuple[Text, ...], Field(min_length=1)] = ()
    """The question and paraphrases of it, verbatim; each fills `{question}`."""
    fields: dict[FieldName, Text] = Field(default_factory=dict)
    """Text for completions and turns, verbatim; `answer` fills `{answer}`."""
    turns: Turns = ()
    """The dialogue up to the completion, as templates; one human turn `{question}` by default."""

    def values(self, wording: int = 0) -> dict[str, str]:
        """Return what each placeholder stands for under one wording."""
        question = {QUESTION: self.wordings[wording]} if self.wordings else {}
        return self.fields | question


class WrittenProbe(Written):
    """A probe file: prompts that hypotheses share.  Its name is the file's name."""

    model_config = ConfigDict(title="Probe")

    about: Text | None = None
    """What the prompts have in common, and what each field holds."""
    turns: Turns = ()
    """The dialogue of every prompt that has no turns of its own."""
    prompts: Annotated[tuple[Prompt, ...], Field(min_length=1)]
    """The prompts, in order."""
