"""The specific check: whether the ablation leaves counter-examples and controls where they were.

Each completion template must meet the limit alone: one that rises cannot hide another that falls.
"""

from __future__ import annotations

import operator

from pm_audit.judging.checks.rule import CheckRule, Question, Ruling, no_gap, too_noisy
from pm_audit.judging.wording import share
from pm_audit.records import Outcome


def judge(question: Question) -> Ruling:
    """Judge the collateral."""
    figures, allowed, ratios = question.figures, question.expect.collateral, question.ratios
    if ratios is None:
        return no_gap(question)
    if not question.selected:
        return Outcome.SKIPPED, (
            "no feature passed the search, so nothing was ablated that could have side effects"
        )
    collateral = ratios.collateral
    if collateral is None:
        return Outcome.INVALID, (
            "there is no counter-example or control whose movement could be measured"
        )
    compared = f"collateral {share(collateral)} against the {allowed:.2f} allowed"
    if noisy := too_noisy(figures, collateral.value, allowed, compared):
        return noisy
    moved = (
        f"{ratios.worst.off_target.words} moves most, by {share(collateral)} of the gap "
        f"({allowed:.2f} allowed)"
    )
    if collateral.high <= allowed:
        return Outcome.PASS, f"side effects are small: {moved}"
    if collateral.low > allowed:
        return Outcome.FAIL, f"the ablation has side effects: {moved}"
    return (
        Outcome.INCONCLUSIVE,
        f"side effects straddle the limit: {moved}; {figures.more_searched}",
    )


RULE = CheckRule(
    name="specific",
    title="does the ablation leave other completions where they were",
    passes="The collateral's interval lies at or below `expect.collateral`.",
    judge=judge,
    line_key="expect.collateral",
    policy={"collateral": operator.lt},
)
