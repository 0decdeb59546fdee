"""What a feature is called, and who says so."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from pm_audit.records.base import Finite, Record


class LabelSource(StrEnum):
    """Where a label comes from."""

    FIRING = "firing"
    """The words on which the feature fires in this audit's texts."""
    FILE = "file"
    """The project's own file of labels."""
    COMMAND = "command"
    """The project's own labelling command."""


class FeatureLabel(Record):
    """What a feature is called in place of its index."""

    text: str
    source: LabelSource
    score: Finite | None = Field(default=None, exclude_if=lambda score: score is None)
    """Balanced accuracy with which "the label names this word" predicts "the feature fires on this
    word", on prompts that took no part in making it: 0.5 is chance, 1 is right everywhere.  None
    for a label that was given, and if the feature fires there on every word or on none."""
