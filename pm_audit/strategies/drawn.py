"""Strategies of the `hypothesis` library that draw edits and programs of edits.

Every strategy shrinks to fewer edits, shorter phrases, earlier places and simpler variants.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from itertools import pairwise
from typing import TypeVar

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from pm_audit.errors import AuditError
from pm_audit.strategies.edits import (
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
from pm_audit.strategies.words import (
    EMOJI,
    LOOK_ALIKES,
    MARKS,
    MARKUP,
    REGISTERS,
    SPACES,
    TEXT,
)

Item = TypeVar("Item")

FURTHEST = 8
"""Words of a text after which an edit is made; a longer text is edited no later."""

_BLOCK = 64
"""Items that are drawn from at once.

Of a larger range, `hypothesis` may draw an integer that it found in an imported module, so that a
seed would not give the same edits in every process.
"""


def insertions(phrases: Iterable[str]) -> SearchStrategy[Edit]:
    """Draw one of the phrases, after any of the first words or at the end of a shorter text."""
    return st.builds(Insert, text=_phrase(phrases), after=_places())


def prefixes(phrases: Iterable[str]) -> SearchStrategy[Edit]:
    """Draw one of the phrases, before the text."""
    return st.builds(Insert, text=_phrase(phrases), after=st.just(0))


def suffixes(phrases: Iterable[str]) -> SearchStrategy[Edit]:
    """Draw one of the phrases, after the text."""
    return st.builds(Insert, text=_phrase(phrases), after=st.none())


def registers(templates: Iterable[str] = REGISTERS) -> SearchStrategy[Edit]:
    """Draw a template such as ``"Dear user, {text}"``.

    Raises:
        AuditError: a template does not hold ``{text}`` once.

    """
    return _one_of([_register(template) for template in _texts(templates)])


def punctuation(marks: Iterable[str] = MARKS) -> SearchStrategy[Edit]:
    """Draw a mark behind one of the first words, or behind the last of a shorter text."""
    return st.builds(Attach, text=_one_of(_texts(marks)), word=_places())


def emoji(characters: Iterable[str] = EMOJI) -> SearchStrategy[Edit]:
    """Draw an emoji that stands as a word of its own."""
    return st.builds(Insert, text=_one_of(_texts(characters)), after=_places())


def markup() -> SearchStrategy[Edit]:
    """Draw Markdown, HTML or TeX around the text or one of its words."""
    return st.builds(
        lambda marks, word: Wrap(before=marks[0], behind=marks[1], word=word),
        _one_of(MARKUP),
        st.none() | _places(),
    )


def white_space() -> SearchStrategy[Edit]:
    """Draw white space, also of no width, behind one of the first words."""
    return st.builds(Attach, text=_one_of(SPACES), word=_places())


def look_alikes() -> SearchStrategy[Edit]:
    """Draw a Latin letter that is replaced by a Cyrillic one which looks alike."""
    return st.builds(
        lambda letters, most: Substitute(old=letters[0], new=letters[1], most=most),
        _one_of(LOOK_ALIKES),
        st.integers(1, 9),
    )


def repetition() -> SearchStrategy[Edit]:
    """Draw how much of the text is repeated, and how often: its last words, or all."""
    return st.builds(Repeat, words=_one_of((1, 2, 3, None)), times=st.integers(1, 3))


def reordering() -> SearchStrategy[Edit]:
    """Draw another order of the words."""
    others = [Reorder(how=how) for how in ("first_last", "last_first", "reverse")]
    return st.builds(Reorder, word=_places()) | _one_of(others)


def casing() -> SearchStrategy[Edit]:
    """Draw other letters for one of the first words, or for the text."""
    return st.builds(
        Case, how=_one_of(("lower", "upper", "title", "swap")), word=_places() | st.none()
    )


def truncation() -> SearchStrategy[Edit]:
    """Draw how many words are dropped from the end; 0 drops the marks there."""
    return st.builds(Truncate, words=st.integers(0, 6))


KINDS: Mapping[str, Callable[[], SearchStrategy[Edit]]] = {
    "punctuation": punctuation,
    "emoji": emoji,
    "markup": markup,
    "white_space": white_space,
    "look_alikes": look_alikes,
    "casing": casing,
    "repetition": repetition,
    "reordering": reordering,
    "truncation": truncation,
    "register": registers,
}
"""Strategies by the name that stands in YAML."""

PHRASED: Mapping[str, Callable[[Iterable[str]], SearchStrategy[Edit]]] = {
    "insert": insertions,
    "prefix": prefixes,
    "suffix": suffixes,
    "register": registers,
}
"""Strategies that are given phrases, by the name that stands in YAML."""


def simplest(key: str, phrase: str) -> Edit:
    """Return the edit to which a strategy of ``PHRASED`` shrinks if only the phrase matters.

    Raises:
        AuditError: the template of a register does not hold ``{text}`` once.

    """
    if key == "register":
        return _register(phrase)
    return Insert(text=phrase, after=None if key == "suffix" else 0)


def programs(*edits: SearchStrategy[Edit], at_most: int = 3) -> SearchStrategy[Program]:
    """Draw from one to ``at_most`` edits, each of any of the kinds and none twice.

    A kind that is given twice is drawn twice as often.

    Raises:
        AuditError: no kind of edit is given, or ``at_most`` is no positive number.

    """
    strange = [edit for edit in edits if not isinstance(edit, SearchStrategy)]
    if not edits or strange or type(at_most) is not int or at_most < 1:
        raise AuditError(
            "programs need a strategy of edits, such as punctuation(), or several one after the "
            "other, and at_most, a whole number of 1 or more"
        )
    some = st.lists(st.one_of(edits), min_size=1, max_size=at_most, unique=True)
    return some.map(lambda found: Program(edits=tuple(found)))


def edited(text: str, *edits: SearchStrategy[Edit], at_most: int = 3) -> SearchStrategy[str]:
    """Draw what a program of such edits makes of a text.

    Raises:
        AuditError: as of ``programs``, or ``text`` is no text.

    """
    if not isinstance(text, str):
        raise AuditError(f"edited needs a text, not {type(text).__name__}")
    return programs(*edits, at_most=at_most).map(lambda program: program.apply(text))


def _register(template: str) -> Edit:
    if template.count(TEXT) != 1:
        raise AuditError(f"the register {template!a} must hold {TEXT} once")
    before, behind = template.split(TEXT)
    return Wrap(before=before, behind=behind)


def _places() -> SearchStrategy[int]:
    return st.integers(0, FURTHEST)


def _phrase(phrases: Iterable[str]) -> SearchStrategy[str]:
    return _one_of(sorted(_texts(phrases), key=lambda phrase: (len(phrase), phrase)))


def _texts(given: Iterable[str]) -> list[str]:
    if isinstance(given, str):
        raise AuditError(f"give a list of one or more texts, not one text: [{given!a}]")
    found = list(given) if isinstance(given, Iterable) else []
    if not found or not all(isinstance(one, str) and one for one in found):
        raise AuditError("give a list of one or more texts, none of them empty")
    # the order of a set differs between processes, and so would what a seed draws
    return sorted(found) if isinstance(given, Set) else list(dict.fromkeys(found))


def _one_of(items: Sequence[Item]) -> SearchStrategy[Item]:
    """Draw an item, each as likely as the others or nearly so; shrinks to the first."""
    if len(items) <= _BLOCK:
        return st.sampled_from(items)
    count = -(-len(items) // _BLOCK)
    ends = [len(items) * number // count for number in range(count + 1)]
    blocks = [items[start:stop] for start, stop in pairwise(ends)]
    return _one_of(blocks).flatmap(st.sampled_from)
