"""The explained check: whether the selected features explain the gap better than chance sets do.

Three conditions must hold: the closure's lower bound reaches ``expect.closure``; the closure
exceeds the 95th percentile of the matched random sets and, as a paired difference, their mean; and
the examples' own movement closes ``expect.closure`` less ``expect.collateral``, the part that
counter-examples may move.
"""

from __future__ import annotations

import operator

from pm_audit.judging.checks import fit
from pm_audit.judging.checks.rule import CheckRule, Question, Ruling, no_gap, too_noisy
from pm_audit.judging.figures import Ratios
from pm_audit.judging.wording import in_sigma, of_gap, share
from pm_audit.records import Outcome
from pm_audit.stats import Interval

_NO_NULL = (
    "no matched random set was run, so the closure cannot be compared with chance; "
    "set null_sets to 20 or more"
)


def judge(question: Question) -> Ruling:
    """Judge the closure, unless something stands in its way."""
    figures, required, ratios = question.figures, question.expect.closure, question.ratios
    if ratios is None:
        return no_gap(question)
    outcome, reason = fit.judge(question)
    if outcome in (Outcome.FAIL, Outcome.INVALID):
        return Outcome.INVALID, f"the SAE is unfit to explain this PM: {reason}"
    if not question.selected:
        return Outcome.FAIL, (
            f"no feature passed the search, so 100% of the gap of {in_sigma(figures.gap_sigma)} "
            f"is unexplained; closure {required:.2f} is required"
        )
    if ratios.over_null is None:
        return Outcome.INVALID, _NO_NULL
    closure = f"closure {share(ratios.closure)}"
    compared = f"{closure} against the {required:.2f} required"
    if noisy := too_noisy(figures, ratios.closure.value, required, compared):
        return noisy
    outcome, reason = _compared(question, ratios, ratios.over_null)
    return outcome, f"{closure} {reason}"


def _compared(question: Question, ratios: Ratios, over_null: Interval) -> Ruling:
    """Compare the closure with the policy, with chance, and with the examples' own movement."""
    closure, own, bar = ratios.closure, ratios.examples_part, ratios.null_bar
    least = question.expect.closure
    least_own = least - question.expect.collateral
    required = f"the {least:.2f} required"
    unexplained = f"{of_gap(1 - closure.value)} of the gap is unexplained"
    if closure.high < least:
        return Outcome.FAIL, f"is below {required}; {unexplained}"
    if not closure.value > bar or over_null.high < 0:
        return Outcome.FAIL, (
            f"does not beat random sets of the same size, whose 95th percentile is {bar:.2f}"
        )
    if own.high < least_own:
        return Outcome.FAIL, (
            "comes from moving the counter-examples: the examples' own movement makes only "
            f"{share(own)}"
        )
    if not closure.low >= least:
        doubt = f"straddles {required}"
    elif not over_null.low > 0:
        doubt = f"exceeds random sets by {share(over_null)}, which may be nothing"
    elif not own.low >= least_own:
        doubt = (
            "may owe too much to the counter-examples: the examples' own movement makes "
            f"{share(own)}"
        )
    else:
        return Outcome.PASS, (
            f"reaches {required} and beats random sets (95th percentile {bar:.2f}); {unexplained}"
        )
    return Outcome.INCONCLUSIVE, f"{doubt}; {question.figures.more_prompts}"


RULE = CheckRule(
    name="explained",
    title="do the selected features explain the gap",
    passes="The closure's interval lies at or above `expect.closure`, the closure beats the 95th "
    "percentile of matched random sets, and the examples' own movement makes it, less what "
    "`expect.collateral` allows.",
    judge=judge,
    line_key="expect.closure",
    policy={"closure": operator.gt, "collateral": operator.lt},
)
