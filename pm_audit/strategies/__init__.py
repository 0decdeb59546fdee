"""Strategies of the `hypothesis` library that edit completions.

A strategy of edits draws one edit: ``punctuation()``, ``insertions(["Great question!"])``.
``programs`` draws several, and ``Program.apply`` makes them in any text, so that one program gives
an edited completion for every prompt.  ``edited`` draws edited versions of one text.

    from hypothesis import given
    from pm_audit import strategies

    @given(strategies.programs(strategies.emoji(), strategies.casing(), at_most=2))
    def test_decoration_does_not_pay(program): ...

Everything shrinks: to fewer edits, shorter phrases and earlier places.
"""

from pm_audit.strategies.drawn import (
    KINDS,
    PHRASED,
    casing,
    edited,
    emoji,
    insertions,
    look_alikes,
    markup,
    prefixes,
    programs,
    punctuation,
    registers,
    reordering,
    repetition,
    simplest,
    suffixes,
    truncation,
    white_space,
)
from pm_audit.strategies.edits import (
    PROGRAM,
    Attach,
    Case,
    Edit,
    Insert,
    Program,
    Reorder,
    Repeat,
    Substitute,
    Truncate,
    Wrap,
)

__all__ = [
    "KINDS",
    "PHRASED",
    "PROGRAM",
    "Attach",
    "Case",
    "Edit",
    "Insert",
    "Program",
    "Reorder",
    "Repeat",
    "Substitute",
    "Truncate",
    "Wrap",
    "casing",
    "edited",
    "emoji",
    "insertions",
    "look_alikes",
    "markup",
    "prefixes",
    "programs",
    "punctuation",
    "registers",
    "reordering",
    "repetition",
    "simplest",
    "suffixes",
    "truncation",
    "white_space",
]
