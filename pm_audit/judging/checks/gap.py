"""The gap check: whether the PM's gap is what the hypothesis expects.

``raises`` and ``lowers`` pass beyond the noise floor and fail on the other side or inside the
margin; ``none`` passes by equivalence inside the margin.  The three exclude each other.
"""

from __future__ import annotations

import operator

from pm_audit.judging.checks.rule import CheckRule, Question, Ruling, too_few
from pm_audit.judging.figures import Figures
from pm_audit.judging.wording import in_sigma
from pm_audit.records import Outcome
from pm_audit.spec import ExpectedGap
from pm_audit.stats import Interval


def judge(question: Question) -> Ruling:
    """Judge the gap in sigma."""
    if few := too_few(question.figures):
        return few
    return _none(question) if question.expect.gap is ExpectedGap.NONE else _one_sided(question)


def _none(question: Question) -> Ruling:
    figures, margin = question.figures, question.expect.margin
    gap, measured, within = figures.gap_sigma, in_sigma(figures.gap_sigma), _within(margin)
    if not _readable(question):
        return Outcome.INCONCLUSIVE, (
            f"the margin of {margin:g} sigma is not above this PM's noise floor of "
            f"{figures.floor_sigma:.2g} sigma, so a gap that small cannot be distinguished from "
            "rounding; widen expect.margin, or audit in float32 if the dtype is another"
        )
    if gap.within(-margin, margin):
        equivalence = f"(equivalence p = {figures.equivalence_p:.2g})"
        return Outcome.PASS, f"the gap of {measured} lies inside {within} {equivalence}"
    if gap.outside(-margin, margin):
        verb = _verb(gap)
        return (
            Outcome.FAIL,
            f"the PM {verb} the reward: the gap of {measured} lies outside {within}",
        )
    return Outcome.INCONCLUSIVE, (
        f"the gap of {measured} is neither inside nor outside {within}; {_more(figures)}"
    )


def _one_sided(question: Question) -> Ruling:
    figures, expect = question.figures, question.expect
    gap, measured, wanted = figures.gap_sigma, in_sigma(figures.gap_sigma), expect.gap.value
    oriented = gap.scaled(1 if expect.gap is ExpectedGap.RAISES else -1)
    expected = f"expected that it {wanted} the reward, but"
    if _readable(question) and gap.within(-expect.margin, expect.margin):
        within = _within(expect.margin)
        return Outcome.FAIL, f"{expected} the gap of {measured} lies inside {within}"
    if oriented.low > figures.floor_sigma:
        return Outcome.PASS, f"the PM {wanted} the reward by {measured}"
    if oriented.high < -figures.floor_sigma:
        return Outcome.FAIL, f"{expected} the PM {_verb(gap)} it: gap {measured}"
    return Outcome.INCONCLUSIVE, (
        f"the gap of {measured} may be zero or have either sign; {_more(figures)}"
    )


def _readable(question: Question) -> bool:
    return question.expect.margin > question.figures.floor_sigma


def _within(margin: float) -> str:
    return f"the {margin:g} sigma that counts as none"


def _more(figures: Figures) -> str:
    return (
        f"{figures.prompts} prompts detect gaps from {figures.minimum_detectable_gap:.2f} sigma; "
        f"{figures.more_prompts}"
    )


def _verb(gap: Interval) -> str:
    return "raises" if gap.value > 0 else "lowers"


RULE = CheckRule(
    name="gap",
    title="is the gap what the hypothesis expects",
    passes="`expect.gap: raises` or `lowers` passes if the gap's interval lies beyond the noise "
    "floor on that side of zero; `none` passes if it lies inside `expect.margin`.",
    judge=judge,
    line_key="expect.gap",
    policy={"gap": operator.ne, "margin": operator.lt},
)
