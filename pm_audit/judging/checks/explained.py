"""The explained check: whether the selected features explain the gap, neither less nor more.

It passes if the closure's interval lies from ``expect.closure`` to ``2 - expect.closure``, so that
as little is left over as is missing; if the closure exceeds the 95th percentile of the matched
random sets and, as a paired difference, their mean; and if neither zero nor mean replacement
contradicts it: by closing less than half of ``expect.closure``, or by turning the gap round
entirely.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator

from pm_audit.judging.checks import fit
from pm_audit.judging.checks.rule import CheckRule, Question, Ruling, no_gap, too_noisy
from pm_audit.judging.figures import Figures
from pm_audit.judging.ratios import OtherReplacement, Ratios
from pm_audit.judging.wording import in_sigma, of_gap, share
from pm_audit.records import Outcome
from pm_audit.stats import Interval

WITNESSES = ("zero", "mean")
"""Replacements that may contradict the method's own."""

DISAGREEMENT = 0.1
"""Difference of two replacements' closures that is worth a sentence."""

UNSTABLE = 1 / 3
"""Mean Jaccard index below which two sets of one size share less than half of their features."""

_NO_NULL = (
    "no matched random set was run, so the closure cannot be compared with chance; "
    "set null_sets to 20 or more"
)
_NO_TIME = (
    "the budget ended before any feature was ablated, so nothing was searched for; "
    "raise budget_seconds"
)
_NO_WITNESS = (
    "the sets were tested under no other replacement, so nothing could contradict the closure; "
    "audit again"
)


def judge(question: Question) -> Ruling:
    """Judge the closure, unless something stands in its way."""
    figures, required, ratios = question.figures, question.expect.closure, question.ratios
    if ratios is None:
        return no_gap(question)
    outcome, reason = fit.judge(question)
    if outcome is not Outcome.PASS:
        return Outcome.INVALID, f"the SAE does not belong here: {reason}"
    if not question.selected and not question.searched:
        return Outcome.INVALID, _NO_TIME
    if not question.selected:
        gap = in_sigma(figures.explained_gap_sigma)
        return Outcome.FAIL, (
            f"no feature passed the search, so 100% of the gap of {gap} is unexplained; "
            f"closure {required:.2f} is required"
        )
    if ratios.over_null is None:
        return Outcome.INVALID, _NO_NULL
    if not any(_witnesses(ratios)):
        return Outcome.INVALID, _NO_WITNESS
    outcome, reason = _compared(figures, ratios, ratios.over_null, required)
    return outcome, "; ".join((reason, *_remarks(figures, ratios, required)))


def _compared(figures: Figures, ratios: Ratios, over_null: Interval, required: float) -> Ruling:
    """Compare the closure with the policy, with chance, and with the other replacements."""
    closure, bar = ratios.closure, ratios.null_bar
    closed, most = f"closure {share(closure)}", 2 - required
    for limit, word in ((required, "required"), (most, "allowed")):
        compared = f"{closed} against the {limit:.2f} {word}"
        if noisy := too_noisy(figures, closure.value, limit, compared):
            return noisy
    left = "unexplained" if closure.value <= 1 else "reversed"
    rest = f"{of_gap(abs(1 - closure.value))} of the gap is {left}"
    contradicted = next((one for one in _witnesses(ratios) if _contradicts(one, required)), None)
    outcome = Outcome.FAIL
    if closure.high < required:
        reason = f"is below the {required:.2f} required; {rest}"
    elif closure.low > most:
        reason = f"overshoots the {most:.2f} allowed; {rest}"
    elif not closure.value > bar or over_null.high < 0:
        reason = f"does not beat random sets of the same size, whose 95th percentile is {bar:.2f}"
    elif contradicted is not None:
        reason = (
            f"is contradicted by {contradicted.replacement} replacement, under which the same "
            f"features close {share(contradicted.closure)}"
        )
    elif doubt := _doubt(closure, over_null, required):
        outcome, reason = Outcome.INCONCLUSIVE, f"{doubt}; {figures.more_searched}"
    else:
        outcome = Outcome.PASS
        reason = (
            f"reaches the {required:.2f} required and beats random sets (95th percentile "
            f"{bar:.2f}); {rest}"
        )
    return outcome, f"{closed} {reason}"


def _doubt(closure: Interval, over_null: Interval, required: float) -> str | None:
    if not closure.low >= required:
        return f"straddles the {required:.2f} required"
    if not closure.high <= 2 - required:
        return f"straddles the {2 - required:.2f} allowed, so it may overshoot"
    if not over_null.low > 0:
        return f"exceeds random sets by {share(over_null)}, which may be nothing"
    return None


def _witnesses(ratios: Ratios) -> Iterator[OtherReplacement]:
    return (other for other in ratios.alongside if other.replacement in WITNESSES)


def _contradicts(other: OtherReplacement, required: float) -> bool:
    """Whether it certainly closes less than half of what is required, or turns the gap round."""
    return other.closure.high < required / 2 or other.closure.low > 2


def _remarks(figures: Figures, ratios: Ratios, required: float) -> Iterator[str]:
    """Yield what a reader of any outcome should know: other replacements, and other searches."""
    for other in _witnesses(ratios):
        apart = abs(other.difference.value) > DISAGREEMENT and other.difference.excludes(0)
        if apart and not _contradicts(other, required):
            yield f"{other.replacement} replacement closes {share(other.closure)} instead"
    stability = figures.stability
    if stability is not None and stability.value < UNSTABLE:
        yield (
            f"unstable: sets found on different prompts agree on {of_gap(stability.value)} of "
            "their features"
        )


RULE = CheckRule(
    name="explained",
    title="do the selected features explain the gap",
    passes="The closure's interval lies from `expect.closure` to 2 - `expect.closure`, the closure "
    "beats the 95th percentile of matched random sets, and neither zero nor mean replacement "
    "contradicts it.",
    judge=judge,
    line_key="expect.closure",
    policy={"closure": operator.gt},
)
