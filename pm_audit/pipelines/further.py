"""Prompts of a preference set that are read for their gap alone.

The gap of a hypothesis is that of every prompt; features are searched for on a draw of them.  What
a search needs of a text (its stream, its keys and values) would fill the memory with thousands of
texts, and its replays would take days.  The others are read a portion at a time, and their gaps
are all that is kept.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean
from typing import NamedTuple, Self

from pm_audit.forward.grid import Grid, Row
from pm_audit.forward.trace import rewards
from pm_audit.records import FurtherPrompt, Role
from pm_audit.spec import Case
from pm_audit.subject.preference_model import PreferenceModel
from pm_audit.text.text_format import TokenisedRow

PORTION_TOKENS = 12_000
"""Tokens of the rows that are read at once, more only for a single prompt."""

_SAID = 10
"""Times that progress is reported."""


class BriefText(NamedTuple):
    """A text as the PM reads it, in four bytes a token."""

    token_ids: array[int]
    start: int
    stop: int | None

    @classmethod
    def of(cls, text: TokenisedRow) -> Self:
        """Return what is needed of a text to read its reward."""
        return cls(array("i", text.token_ids), text.completion_start, text.completion_stop)


@dataclass(frozen=True)
class Further:
    """What is read for its gap alone: cases by prompt, and the text of each."""

    cases: tuple[Case, ...] = ()
    texts: tuple[BriefText, ...] = ()

    def gaps(self, pm: PreferenceModel, report: Callable[[str], None]) -> tuple[FurtherPrompt, ...]:
        """Return the gap of each prompt.

        Raises:
            NumericalError: a reward is not finite.

        """
        found: list[FurtherPrompt] = []
        count, said = len({case.prompt for case in self.cases}), 0
        for portion in self._portions():
            read = rewards(pm, Grid(tuple(self._row(at) for at in portion))).tolist()
            found += _gaps([self.cases[at] for at in portion], read)
            if len(found) * _SAID >= (said + 1) * count:
                said = len(found) * _SAID // count
                report(f"read {len(found):,} of {count:,} prompts for their gap alone")
        return tuple(found)

    def _portions(self) -> Iterator[list[int]]:
        """Yield numbers of cases, whole prompts at a time."""
        held: list[int] = []
        tokens = 0
        for _, group in groupby(range(len(self.cases)), key=lambda at: self.cases[at].prompt):
            own = list(group)
            size = sum(len(self.texts[at].token_ids) for at in own)
            if held and tokens + size > PORTION_TOKENS:
                yield held
                held, tokens = [], 0
            held, tokens = held + own, tokens + size
        if held:
            yield held

    def _row(self, at: int) -> Row:
        text = self.texts[at]
        return Row(self.cases[at].prompt, tuple(text.token_ids), text.start, text.stop)


def _gaps(cases: Sequence[Case], read: Sequence[float]) -> Iterator[FurtherPrompt]:
    both = zip(cases, read, strict=True)
    for _, group in groupby(both, key=lambda one: one[0].prompt):
        own = list(group)
        sides = [
            fmean(reward for case, reward in own if case.role is role)
            for role in (Role.EXAMPLE, Role.COUNTER_EXAMPLE)
        ]
        yield FurtherPrompt(id=own[0][0].prompt_id, gap=sides[0] - sides[1])
