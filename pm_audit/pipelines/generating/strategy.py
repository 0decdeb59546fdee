"""From what a hypothesis names to the edits that are tried."""

from __future__ import annotations

from hypothesis.strategies import SearchStrategy

from pm_audit.data.sampling import rank
from pm_audit.spec.generate import WrittenEdit, WrittenGenerate
from pm_audit.strategies import KINDS, PHRASED, Edit, Program, programs, simplest

_PHRASES_A_SHARE = 16
"""Phrases that are drawn as often together as one kind of edit without phrases."""

_MOST_SHARES = 16


def strategy_of(written: WrittenGenerate) -> SearchStrategy[Program]:
    """Return what draws programs of the named edits; a long list of phrases is drawn more often."""
    edits: list[SearchStrategy[Edit]] = []
    for edit in written.edits:
        drawn = PHRASED[edit.key](_phrases(edit)) if edit.with_phrases else KINDS[edit.key]()
        edits += [drawn] * min(_MOST_SHARES, 1 + len(edit.phrases) // _PHRASES_A_SHARE)
    return programs(*edits, at_most=written.at_most)


def each_phrase(written: WrittenGenerate, *, seed: int) -> tuple[Program, ...]:
    """Return a program for each phrase at the first place it is tried at, shortest first.

    A draw alone would miss some phrases of a long list.  At most half of the examples are these; of
    more phrases, a hash of the seed and the phrase decides.
    """
    every = [(phrase, edit.key) for edit in written.edits for phrase in edit.phrases]
    some = sorted(every, key=lambda one: rank(seed, one[0]))[: written.examples // 2]
    ordered = sorted(some, key=lambda one: (len(one[0]), one))
    return tuple(Program(edits=(simplest(key, phrase),)) for phrase, key in ordered)


def _phrases(edit: WrittenEdit) -> tuple[str, ...]:
    if edit.file is not None:
        raise ValueError(f"{edit.file} was not read; load hypotheses with load_hypotheses")
    return edit.phrases
