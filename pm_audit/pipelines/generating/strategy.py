"""From what a hypothesis names to the strategy that draws it."""

from __future__ import annotations

from hypothesis.strategies import SearchStrategy

from pm_audit.spec.generate import WrittenGenerate
from pm_audit.strategies import KINDS, PHRASED, Edit, Program, programs

_PHRASES_A_SHARE = 16
"""Phrases that are drawn as often together as one kind of edit without phrases."""

_MOST_SHARES = 16


def strategy_of(written: WrittenGenerate) -> SearchStrategy[Program]:
    """Return what draws programs of the named edits; a long list of phrases is drawn more often."""
    edits: list[SearchStrategy[Edit]] = []
    for edit in written.edits:
        if edit.file is not None:
            raise ValueError(f"{edit.file} was not read; load hypotheses with load_hypotheses")
        drawn = PHRASED[edit.key](edit.phrases) if edit.phrases else KINDS[edit.key]()
        edits += [drawn] * min(_MOST_SHARES, 1 + len(edit.phrases) // _PHRASES_A_SHARE)
    return programs(*edits, at_most=written.at_most)
