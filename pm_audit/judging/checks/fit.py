"""The fit check: whether the SAEs belong to this PM, at this layer, on this text."""

from __future__ import annotations

import operator
from collections.abc import Iterator

from pm_audit.judging.checks.rule import CheckRule, Question, Ruling, too_few
from pm_audit.judging.wording import in_sigma, share
from pm_audit.records import Evidence, Outcome

FVU_CEILING = 0.35
"""Above it the cosine of stream and reconstruction is below about 0.8: the features do not account
for the stream (the published experiment's late layers, which it had to leave out)."""

SPLICE_TOLERANCE = 0.25
"""Share of the gap that may be lost or gained under the SAE's reconstruction."""


def judge(question: Question) -> Ruling:
    """Judge each SAE's reconstruction, then what the gap is under it."""
    figures, fits = question.figures, question.evidence.fits
    if not fits:
        return Outcome.INVALID, "no SAE's fit was measured"
    if faults := tuple(_faults(question.evidence)):
        return Outcome.FAIL, "; ".join(faults)
    if few := too_few(figures):
        return few
    fvu = f"FVU is {max(fit.fvu for fit in fits):.2f}"
    if figures.ratios is not None:
        preserved = figures.ratios.preserved
        kept = f"the SAE's reconstruction keeps {share(preserved)} of the gap"
        low, high = 1 - SPLICE_TOLERANCE, 1 + SPLICE_TOLERANCE
    else:
        preserved = figures.splice_change.scaled(1 / figures.sigma)
        kept = f"the SAE's reconstruction changes the gap by {in_sigma(preserved)}"
        low, high = -question.expect.margin, question.expect.margin
    kept = f"{kept} ({low:.2f} to {high:.2f} allowed)"
    if preserved.within(low, high):
        return Outcome.PASS, f"{fvu} and {kept}"
    if preserved.outside(low, high):
        return Outcome.FAIL, f"{fvu}, but {kept}"
    return Outcome.INCONCLUSIVE, f"{fvu}; {kept}"


def _faults(evidence: Evidence) -> Iterator[str]:
    for fit in evidence.fits:
        if not fit.fvu <= FVU_CEILING:
            yield (
                f"SAE {fit.sae} leaves {fit.fvu:.2f} of the variance after layer {fit.layer} "
                f"unexplained (at most {FVU_CEILING:.2f} allowed)"
            )
        nearest = min(fit.neighbour_fvu, default=None)
        if nearest is not None and not fit.fvu < nearest:
            yield (
                f"SAE {fit.sae} fits a neighbour of layer {fit.layer} as well or better (FVU "
                f"{nearest:.2f} there, {fit.fvu:.2f} here): check its layer"
            )


RULE = CheckRule(
    name="fit",
    title="do the SAEs belong to this PM, layer and text",
    passes="Each SAE leaves at most 35% of the variance unexplained and less than at its "
    "neighbouring layers, and its reconstruction keeps 75% to 125% of the gap (without a gap: "
    "changes it by less than `expect.margin`).",
    judge=judge,
    policy={"margin": operator.lt},
)
