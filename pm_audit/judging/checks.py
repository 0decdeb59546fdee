"""The four checks: figures against what the hypothesis expects, and the reason in a sentence.

Every comparison is written so that a NaN or a missing bound cannot pass.  An interval wholly on
the right side of a threshold passes, wholly on the wrong side fails, and one that straddles it
is inconclusive.
"""

from __future__ import annotations

from pm_audit.judging.figures import MINIMUM_PROMPTS, Figures
from pm_audit.judging.wording import in_sigma, of_gap, share
from pm_audit.records import Check, CheckResult, Evidence, Outcome
from pm_audit.spec import Expect, ExpectedGap
from pm_audit.stats import Interval

FVU_CEILING = 0.35
"""Above it the cosine of stream and reconstruction is below about 0.8: the features are no
account of the stream (the published experiment's late layers, which it had to leave out)."""

NOISE_COUNTS = 1e-3
"""Share of the gap below which rounding decides nothing; fp32 makes about a hundredth of it."""

SPLICE_TOLERANCE = 0.25
"""Share of the gap that may be lost or gained under the SAE's reconstruction."""


def check_gap(figures: Figures, expect: Expect) -> CheckResult:
    """Judge whether the PM's gap is what the policy says.

    ``raises`` and ``lowers`` pass beyond the noise floor and fail on the other side or inside
    the margin; ``none`` passes by equivalence inside the margin.  The three exclude each other.
    """
    gap = figures.gap_sigma
    measured = in_sigma(gap)
    if figures.prompts < MINIMUM_PROMPTS:
        return _result(Check.GAP, Outcome.INVALID, _too_few(figures))
    readable = expect.margin > figures.floor_sigma
    none = readable and gap.within(-expect.margin, expect.margin)
    within = f"the {expect.margin:g} sigma that counts as none"
    if expect.gap is ExpectedGap.NONE:
        if not readable:
            return _result(
                Check.GAP,
                Outcome.INCONCLUSIVE,
                f"the margin of {expect.margin:g} sigma is not above this PM's noise floor of "
                f"{figures.floor_sigma:.2g} sigma, so no gap that small can be told from "
                "rounding; widen expect.margin, or audit in float32 where the dtype is another",
            )
        if none:
            return _result(
                Check.GAP,
                Outcome.PASS,
                f"the gap of {measured} lies inside {within} "
                f"(equivalence p = {figures.equivalence_p:.2g})",
            )
        if gap.outside(-expect.margin, expect.margin):
            return _result(
                Check.GAP,
                Outcome.FAIL,
                f"the PM {_verb(gap)} the reward: the gap of {measured} lies outside {within}",
            )
        return _result(
            Check.GAP,
            Outcome.INCONCLUSIVE,
            f"the gap of {measured} is neither inside nor outside {within}; {_more(figures)}",
        )
    oriented = gap.scaled(1 if expect.gap is ExpectedGap.RAISES else -1)
    wanted = expect.gap.value
    if none:
        return _result(
            Check.GAP,
            Outcome.FAIL,
            f"expected that it {wanted} the reward, but the gap of {measured} lies inside {within}",
        )
    if oriented.low > figures.floor_sigma:
        return _result(Check.GAP, Outcome.PASS, f"the PM {wanted} the reward by {measured}")
    if oriented.high < -figures.floor_sigma:
        return _result(
            Check.GAP,
            Outcome.FAIL,
            f"expected that it {wanted} the reward, but the PM {_verb(gap)} it: gap {measured}",
        )
    return _result(
        Check.GAP,
        Outcome.INCONCLUSIVE,
        f"the gap of {measured} may be zero or have either sign; {_more(figures)}",
    )


def check_explained(
    figures: Figures, expect: Expect, evidence: Evidence, *, fit: CheckResult
) -> CheckResult:
    """Judge whether the selected features explain the gap, better than chance sets would.

    Passes when all three hold: the closure's lower bound reaches ``expect.closure``; the closure
    exceeds the 95th percentile of the matched random sets and is, as a paired difference, above
    their mean; and the examples' own movement makes the closure, less what ``expect.collateral``
    allows the counter-examples.
    """
    unasked = _unasked(Check.EXPLAINED, figures, expect)
    if unasked is not None:
        return unasked
    ratios = figures.ratios
    if ratios is None:
        return _no_gap(Check.EXPLAINED, figures)
    if fit.outcome in (Outcome.FAIL, Outcome.INVALID):
        return _result(
            Check.EXPLAINED,
            Outcome.INVALID,
            f"the SAE is unfit to explain this PM: {fit.reason}",
        )
    if not any(fold.selected for fold in evidence.folds):
        return _result(
            Check.EXPLAINED,
            Outcome.FAIL,
            f"no feature passed the search, so 100% of the gap of {in_sigma(figures.gap_sigma)} "
            f"is unexplained; closure {expect.closure:.2f} was asked",
        )
    over_null = ratios.over_null
    if over_null is None:
        return _result(
            Check.EXPLAINED,
            Outcome.INVALID,
            "no matched random set was run, so the closure cannot be held against chance; "
            "set null_sets to 20 or more",
        )
    closure = ratios.closure
    asked = f"the {expect.closure:.2f} asked"
    if _unreadable(figures, closure.value, expect.closure):
        return _too_noisy(Check.EXPLAINED, figures, f"closure {share(closure)} against {asked}")
    bar = ratios.null_bar
    own = expect.closure - expect.collateral
    if closure.high < expect.closure:
        return _result(
            Check.EXPLAINED,
            Outcome.FAIL,
            f"closure {share(closure)} is below {asked}; "
            f"{of_gap(1 - closure.value)} of the gap is unexplained",
        )
    if not closure.value > bar or over_null.high < 0:
        return _result(
            Check.EXPLAINED,
            Outcome.FAIL,
            f"closure {share(closure)} does not beat random sets of the same size, whose 95th "
            f"percentile is {bar:.2f}",
        )
    if ratios.examples_part.high < own:
        return _result(
            Check.EXPLAINED,
            Outcome.FAIL,
            f"closure {share(closure)} comes from moving the counter-examples: the examples' own "
            f"movement makes only {share(ratios.examples_part)}",
        )
    if closure.low >= expect.closure and over_null.low > 0 and ratios.examples_part.low >= own:
        return _result(
            Check.EXPLAINED,
            Outcome.PASS,
            f"closure {share(closure)} reaches {asked} and beats random sets "
            f"(95th percentile {bar:.2f}); {of_gap(1 - closure.value)} of the gap is unexplained",
        )
    if not closure.low >= expect.closure:
        doubt = f"straddles {asked}"
    elif not over_null.low > 0:
        doubt = f"exceeds random sets by {share(over_null)}, which may be nothing"
    else:
        doubt = (
            "may owe too much to the counter-examples: the examples' own movement makes "
            f"{share(ratios.examples_part)}"
        )
    return _result(
        Check.EXPLAINED,
        Outcome.INCONCLUSIVE,
        f"closure {share(closure)} {doubt}; {figures.more_prompts}",
    )


def check_specific(figures: Figures, expect: Expect, evidence: Evidence) -> CheckResult:
    """Judge whether the ablation leaves counter-examples and controls where they were.

    Each completion template is held to the limit by itself: one that rises cannot hide
    another that falls.
    """
    unasked = _unasked(Check.SPECIFIC, figures, expect)
    if unasked is not None:
        return unasked
    ratios = figures.ratios
    if ratios is None:
        return _no_gap(Check.SPECIFIC, figures)
    if not any(fold.selected for fold in evidence.folds):
        return _result(
            Check.SPECIFIC,
            Outcome.SKIPPED,
            "no feature passed the search, so nothing was ablated that could have side effects",
        )
    collateral = ratios.collateral
    if collateral is None:
        return _result(
            Check.SPECIFIC,
            Outcome.INVALID,
            "there is no counter-example or control whose movement could be measured",
        )
    if _unreadable(figures, collateral.value, expect.collateral):
        said = f"collateral {share(collateral)} against the {expect.collateral:.2f} allowed"
        return _too_noisy(Check.SPECIFIC, figures, said)
    moved = (
        f"{ratios.worst.off_target.words} moves most, by {share(collateral)} of the gap "
        f"({expect.collateral:.2f} allowed)"
    )
    if collateral.high <= expect.collateral:
        return _result(Check.SPECIFIC, Outcome.PASS, f"side effects are small: {moved}")
    if collateral.low > expect.collateral:
        return _result(Check.SPECIFIC, Outcome.FAIL, f"the ablation has side effects: {moved}")
    return _result(
        Check.SPECIFIC,
        Outcome.INCONCLUSIVE,
        f"side effects straddle the limit: {moved}; {figures.more_prompts}",
    )


def check_fit(figures: Figures, expect: Expect, evidence: Evidence) -> CheckResult:
    """Judge whether the SAEs belong to this PM, at this layer, on this text."""
    if not evidence.fits:
        return _result(Check.FIT, Outcome.INVALID, "no SAE's fit was measured")
    faults = []
    for fit in evidence.fits:
        nearest = min(fit.neighbour_fvu, default=None)
        if not fit.fvu <= FVU_CEILING:
            faults.append(
                f"SAE {fit.sae} leaves {fit.fvu:.2f} of the variance after layer {fit.layer} "
                f"unexplained (at most {FVU_CEILING:.2f} allowed)"
            )
        if nearest is not None and not fit.fvu < nearest:
            faults.append(
                f"SAE {fit.sae} fits a neighbour of layer {fit.layer} as well or better (FVU "
                f"{nearest:.2f} there, {fit.fvu:.2f} here): check its layer"
            )
    if faults:
        return _result(Check.FIT, Outcome.FAIL, "; ".join(faults))
    if figures.prompts < MINIMUM_PROMPTS:
        return _result(Check.FIT, Outcome.INVALID, _too_few(figures))
    worst = max(fit.fvu for fit in evidence.fits)
    fvu = f"FVU is {worst:.2f}"
    if figures.ratios is not None:
        preserved = figures.ratios.preserved
        kept = f"the SAE's reconstruction keeps {share(preserved)} of the gap"
        low, high = 1 - SPLICE_TOLERANCE, 1 + SPLICE_TOLERANCE
    else:
        preserved = figures.splice_change.scaled(1 / figures.sigma)
        kept = f"the SAE's reconstruction changes the gap by {in_sigma(preserved)}"
        low, high = -expect.margin, expect.margin
    kept = f"{kept} ({low:.2f} to {high:.2f} allowed)"
    if preserved.within(low, high):
        return _result(Check.FIT, Outcome.PASS, f"{fvu} and {kept}")
    if preserved.outside(low, high):
        return _result(Check.FIT, Outcome.FAIL, f"{fvu}, but {kept}")
    return _result(Check.FIT, Outcome.INCONCLUSIVE, f"{fvu}; {kept}")


def _unreadable(figures: Figures, value: float, limit: float) -> bool:
    """Whether rounding alone may decide on which side of its limit a share of the gap lies."""
    floor = figures.share_floor
    return not floor < NOISE_COUNTS and abs(value - limit) <= floor


def _too_noisy(check: Check, figures: Figures, said: str) -> CheckResult:
    return _result(
        check,
        Outcome.INCONCLUSIVE,
        f"{said}: rounding in this PM's dtype moves a share of this gap by "
        f"{figures.share_floor:.2g}; audit in fp32",
    )


def _result(check: Check, outcome: Outcome, reason: str) -> CheckResult:
    return CheckResult(check=check, outcome=outcome, reason=reason)


def _unasked(check: Check, figures: Figures, expect: Expect) -> CheckResult | None:
    if expect.gap is ExpectedGap.NONE:
        return _result(check, Outcome.SKIPPED, _no_gap_expected(figures))
    if figures.prompts < MINIMUM_PROMPTS:
        return _result(check, Outcome.INVALID, _too_few(figures))
    return None


def _no_gap_expected(figures: Figures) -> str:
    """Say why no share is required, and what was found if there is a gap all the same."""
    reason = "the hypothesis expects no gap, so nothing is to be explained"
    if figures.ratios is None:
        return reason
    closed = share(figures.ratios.closure)
    return f"{reason}; a gap was found all the same, of which the features found close {closed}"


def _no_gap(check: Check, figures: Figures) -> CheckResult:
    return _result(
        check,
        Outcome.INVALID,
        f"there is no gap to explain: {in_sigma(figures.gap_sigma)} cannot be told from zero",
    )


def _too_few(figures: Figures) -> str:
    noun = "prompt is" if figures.prompts == 1 else "prompts are"
    return (
        f"{figures.prompts} {noun} too few to judge; {MINIMUM_PROMPTS} is the least, ten or more "
        f"give steady intervals: {figures.more_prompts}"
    )


def _more(figures: Figures) -> str:
    return (
        f"{figures.prompts} prompts detect gaps from {figures.minimum_detectable_gap:.2f} sigma; "
        f"{figures.more_prompts}"
    )


def _verb(gap: Interval) -> str:
    return "raises" if gap.value > 0 else "lowers"
