"""A prompt is a dialogue: turns in order, written out later by the PM's own text format."""

from __future__ import annotations

from enum import StrEnum

from pm_audit.records import Record


class Speaker(StrEnum):
    """Who says a turn."""

    SYSTEM = "system"
    HUMAN = "human"
    ASSISTANT = "assistant"


class Turn(Record):
    """One utterance; the last turn of a prompt is always the human's."""

    speaker: Speaker
    text: str


Dialogue = tuple[Turn, ...]
