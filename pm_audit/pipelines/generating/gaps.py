"""Gaps of edits on a few prompts: the reward of the edited completion minus that of the base."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy.stats import t as student

from pm_audit.errors import ModelError
from pm_audit.forward.grid import Row
from pm_audit.scanning.score import read_rewards
from pm_audit.spec import Case, Expect, ExpectedGap
from pm_audit.strategies import Program
from pm_audit.subject.preference_model import PreferenceModel

BUDGET = 16_384
"""Tokens of completions that are read at once."""

Text = tuple[int, str]
"""A prompt's number and a completion."""


@dataclass(frozen=True)
class Measured:
    """What an edit does on the search's prompts, in sigma."""

    gap: float
    """Mean over the prompts."""
    excess: float
    """How far the gap's interval lies beyond what is expected; if positive, the edit breaks it."""


class Gaps:
    """Reads what edits do to the base completions of some prompts, each text once.

    Args:
        pm: the preference model.
        bases: a base completion for each prompt.
        expect: what is expected of every edit.
        sigma: the unit of gaps, raw reward.
        confidence: of the interval that decides whether an edit breaks the claim.

    Raises:
        ModelError: a base completion is too long for the PM, or its format cannot write it.

    """

    def __init__(
        self,
        pm: PreferenceModel,
        bases: Sequence[Case],
        expect: Expect,
        *,
        sigma: float,
        confidence: float,
    ) -> None:
        self._pm, self._bases, self._expect, self._sigma = pm, bases, expect, sigma
        self._quantile = float(student.ppf((1 + confidence) / 2, len(bases) - 1))
        self._rewards: dict[Text, float] = {}
        self._measured: dict[Program, Measured | None] = {}
        self.refused: set[Program] = set()
        """Programs that make a text which the PM cannot read."""
        self.too_small: set[Program] = set()
        """Programs that change fewer than half of the completions."""
        base = Program(edits=())
        self._read([base])
        for one in bases if self.refused else ():
            pm.text_format.tokenise(one.turns, one.text)  # raises what is wrong

    def __contains__(self, program: Program) -> bool:
        """Whether the program was measured."""
        return program in self._measured

    def __getitem__(self, program: Program) -> Measured | None:
        """Return what a program does, measured now if need be; None if that cannot be judged."""
        self.measure([program])
        return self._measured[program]

    def excess(self, program: Program) -> float:
        """Return how far a program breaks the claim; it does not if this is not positive."""
        found = self[program]
        return float("-inf") if found is None else found.excess

    def measure(self, programs: Iterable[Program]) -> None:
        """Measure programs, all their texts together."""
        new = [program for program in dict.fromkeys(programs) if program not in self]
        self._read(new)
        self._measured |= {program: self._judged(program) for program in new}

    def texts(self, program: Program) -> list[Text]:
        """Return what a program makes of each base completion."""
        return [(number, program.apply(base.text)) for number, base in enumerate(self._bases)]

    def _judged(self, program: Program) -> Measured | None:
        if program in self.refused:
            return None
        pairs = [
            (text, (number, base.text))
            for (number, base), text in zip(
                enumerate(self._bases), self.texts(program), strict=True
            )
        ]
        if 2 * sum(text != base for text, base in pairs) < len(pairs):
            self.too_small.add(program)
            return None
        gaps = [(self._rewards[text] - self._rewards[base]) / self._sigma for text, base in pairs]
        gap, reach = fmean(gaps), self._quantile * stdev(gaps) / len(gaps) ** 0.5
        return Measured(gap, excess(gap, reach, self._expect))

    def _read(self, programs: Sequence[Program]) -> None:
        rows: dict[Text, Row] = {}
        for program in programs:
            try:
                rows |= {
                    text: self._row(text)
                    for text in self.texts(program)
                    if text not in self._rewards and text not in rows
                }
            except ModelError:
                self.refused.add(program)
        # the completions of a prompt stand together, so that its tokens are read once
        wanted = sorted(rows, key=lambda text: text[0])
        for portion in _portions(wanted, [len(rows[text].token_ids) for text in wanted]):
            found = read_rewards(self._pm, [rows[text] for text in portion])
            self._rewards |= zip(portion, found.tolist(), strict=True)

    def _row(self, text: Text) -> Row:
        number, completion = text
        row = self._pm.text_format.tokenise(self._bases[number].turns, completion)
        return Row(number, row.token_ids, row.completion_start, row.completion_stop)


def excess(gap: float, reach: float, expect: Expect) -> float:
    """Return how far a gap's interval lies beyond what is expected, as the gap check has it.

    Args:
        gap: in sigma.
        reach: half of its interval.
        expect: the expected gap and the margin that counts as none.

    """
    if expect.gap is ExpectedGap.NONE:
        return abs(gap) - reach - expect.margin
    oriented = gap if expect.gap is ExpectedGap.RAISES else -gap
    # on the other side of zero, or surely inside the margin
    return max(-oriented - reach, expect.margin - abs(gap) - reach)


def _portions(texts: Sequence[Text], sizes: Sequence[int]) -> Iterator[list[Text]]:
    portion: list[Text] = []
    tokens = 0
    for text, size in zip(texts, sizes, strict=True):
        if portion and tokens + size > BUDGET:
            yield portion
            portion, tokens = [], 0
        portion.append(text)
        tokens += size
    if portion:
        yield portion
