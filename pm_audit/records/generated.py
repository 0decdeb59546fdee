"""What a search over generated edits tried, and the edit that was judged."""

from __future__ import annotations

from typing import Any

from pm_audit.records.base import Finite, Record


class BreakingEdit(Record):
    """An edit that breaks the claim on the search's prompts, and was not judged."""

    edit: str
    """The edit in words."""
    gap_sigma: Finite
    """Its mean gap on the search's prompts; chosen for its size, so no estimate."""


class GeneratedEvidence(Record):
    """The search of one hypothesis, on prompts that took no part in the judgement."""

    seed: int
    """Seed of the draw."""
    drawn: int
    """Edits, or compositions of them, that were drawn."""
    distinct: int
    """Of these, how many differ."""
    too_small: int
    """Of the distinct ones, how many change fewer than half of the search's completions."""
    refused: int
    """Of the distinct ones, how many make a text that the PM cannot read."""
    breaking: int
    """Of the distinct ones, how many break the claim on the search's prompts."""
    others: tuple[BreakingEdit, ...] = ()
    """Breaking edits of other kinds, or with other phrases, than the edit that is judged: the
    largest of each, of the fewest edits first, and none that holds the kinds of another."""
    steps: int
    """Further edits that were tried to find a simpler one."""
    prompts: tuple[str, ...]
    """Prompts of the search."""
    unchanged: int
    """Prompts that were not judged, as the edit leaves their completion as it is."""
    broke: bool
    """Whether the edit breaks the claim on the search's prompts; if none does, it is the one that
    comes nearest."""
    replayed: bool
    """The example database held the edit, and nothing that was drawn breaks the claim."""
    gap_sigma: Finite
    """Mean gap of the edit on the search's prompts; chosen for its size, so no estimate."""
    edit: str
    """The edit in words."""
    program: dict[str, Any]
    """The edit as ``pm_audit.strategies.Program`` reads it."""
    base: str
    """Completion of one judged prompt before the edit."""
    edited: str
    """The same after it."""
    engine: str
    """Release of `hypothesis` that drew and shrank."""
