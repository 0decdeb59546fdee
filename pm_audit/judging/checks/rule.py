"""What a check is: one object that holds all about it, and what several checks share.

Every comparison is written so that a NaN or a missing bound cannot pass.  An interval wholly on
the right side of a threshold passes, wholly on the wrong side fails, and one that straddles it
is inconclusive.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pm_audit.judging.figures import MINIMUM_PROMPTS, Figures
from pm_audit.judging.ratios import Ratios
from pm_audit.judging.wording import in_sigma, share
from pm_audit.records import Evidence, Outcome
from pm_audit.spec import Expect, ExpectedGap

NOISE_COUNTS = 1e-3
"""Share of the gap below which rounding decides nothing; fp32 makes about a hundredth of it."""

Ruling = tuple[Outcome, str]
"""An outcome and the sentence that says why."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a check judges: figures, against what the hypothesis expects of them."""

    figures: Figures
    expect: Expect
    evidence: Evidence

    @property
    def ratios(self) -> Ratios | None:
        """The figures that are shares of the gap; None unless one is expected and found."""
        return None if self.expect.gap is ExpectedGap.NONE else self.figures.ratios

    @property
    def selected(self) -> bool:
        """Whether any fold's search selected a feature."""
        return any(fold.selected for fold in self.evidence.folds)

    @property
    def searched(self) -> bool:
        """Whether a search by ablation had the time to ablate any feature."""
        sweeps = self.evidence.sweeps
        return not any(one.active for one in sweeps) or any(one.measured for one in sweeps)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRule:
    """One check."""

    name: str
    """As in node ids and records; for an added check, the name of its entry point."""
    title: str
    """The question that it answers, in a line."""
    passes: str
    """When it passes, in a sentence."""
    judge: Callable[[Question], Ruling]
    line_key: str = "name"
    """Key of the hypothesis on whose line a check that is not passed is reported."""
    policy: Mapping[str, Callable[[Any, Any], bool]] = field(default_factory=dict)
    """By key of ``expect`` that it reads: whether the second value requires less than the first."""


def too_few(figures: Figures) -> Ruling | None:
    """Return INVALID below the least number of prompts, else None."""
    if figures.prompts >= MINIMUM_PROMPTS:
        return None
    noun = "prompt is" if figures.prompts == 1 else "prompts are"
    return Outcome.INVALID, (
        f"{figures.prompts} {noun} too few to judge; {MINIMUM_PROMPTS} is the least, ten or more "
        f"give steady intervals: {figures.more_prompts}"
    )


def no_gap(question: Question) -> Ruling:
    """Return why there is no share of the gap to judge (see ``Question.ratios``)."""
    figures = question.figures
    if question.expect.gap is ExpectedGap.NONE:
        reason = "the hypothesis expects no gap, so there is nothing to explain"
        if figures.ratios is not None:
            closed = share(figures.ratios.closure)
            reason += f"; a gap was found nevertheless, of which the features found close {closed}"
        return Outcome.SKIPPED, reason
    if figures.searched_gap is not None and figures.gap.outside(-figures.floor, figures.floor):
        found = in_sigma(figures.explained_gap_sigma)
        return Outcome.INVALID, (
            f"the prompts on which features are searched for have no gap to explain: {found}; "
            f"{figures.more_searched}"
        )
    found = in_sigma(figures.gap_sigma)
    reason = f"there is no gap to explain: {found} cannot be distinguished from zero"
    return too_few(figures) or (Outcome.INVALID, reason)


def too_noisy(figures: Figures, value: float, limit: float, compared: str) -> Ruling | None:
    """Return INCONCLUSIVE if rounding alone may decide on which side of its limit a share lies."""
    floor = figures.share_floor
    if floor < NOISE_COUNTS or not abs(value - limit) <= floor:
        return None
    return Outcome.INCONCLUSIVE, (
        f"{compared}: rounding in this PM's dtype moves a share of this gap by {floor:.2g}; "
        "audit in fp32"
    )
