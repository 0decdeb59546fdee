"""The fit check: whether the SAEs belong to this PM, at this layer, on this text.

It is about tokens, so few prompts are no obstacle.  What the SAE's error carries of the gap is a
figure, from both orders, and no condition.
"""

from __future__ import annotations

from collections.abc import Iterator

from pm_audit.judging.checks.rule import CheckRule, Question, Ruling
from pm_audit.records import Evidence, Outcome

FVU_CEILING = 0.35
"""Above it the cosine of stream and reconstruction is below about 0.8: the features do not account
for the stream (the published experiment's late layers, which it had to leave out)."""


def judge(question: Question) -> Ruling:
    """Judge each SAE's reconstruction."""
    fits = question.evidence.fits
    if not fits:
        return Outcome.INVALID, "no SAE's fit was measured"
    if faults := tuple(_faults(question.evidence)):
        return Outcome.FAIL, "; ".join(faults)
    worst = max(fit.fvu for fit in fits)
    lower = ", less than at neighbouring layers" if any(fit.neighbour_fvu for fit in fits) else ""
    return Outcome.PASS, f"FVU is {worst:.2f} (at most {FVU_CEILING:.2f} allowed){lower}"


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
    passes="Each SAE leaves at most 35% of the variance unexplained, and less than at its "
    "neighbouring layers.",
    judge=judge,
)
