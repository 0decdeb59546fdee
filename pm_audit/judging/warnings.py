"""Warnings: what a reader should know beyond the outcomes of the checks."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from pm_audit.judging.figures import Figures, Ratios
from pm_audit.judging.wording import of_gap, share
from pm_audit.records import Evidence
from pm_audit.spec import Expect

STEADY_PROMPTS = 10
"""Below it the coverage of every interval falls off (docs/statistics.md)."""

STEADY_NULL_SETS = 20
"""With fewer, the 95th percentile of the null is its largest member."""

OVERSHOOT = 0.2
DISAGREEMENT = 0.1
"""Difference of zero and mean replacement, as a share of the gap, that is worth a sentence."""

COUNTER_EXAMPLES_PART = 0.2
"""Share of the gap closed by moving counter-examples that is worth a sentence."""


def warnings_of(figures: Figures, expect: Expect, evidence: Evidence) -> tuple[str, ...]:
    """Return the warnings of one hypothesis, in the order in which they should be read."""
    return tuple(_warnings(figures, expect, evidence))


def _warnings(figures: Figures, expect: Expect, evidence: Evidence) -> Iterator[str]:
    if figures.prompts < STEADY_PROMPTS:
        noun = "prompt" if figures.prompts == 1 else "prompts"
        yield (
            f"only {figures.prompts} {noun}: intervals are unsteady below {STEADY_PROMPTS}; "
            f"{figures.more_prompts}"
        )
    if not expect.margin > figures.floor_sigma:
        yield (
            f"expect.margin of {expect.margin:g} sigma is not above the noise floor of "
            f"{figures.floor_sigma:.2g} sigma; such a gap cannot be shown to be none"
        )
    if not evidence.folds:
        yield "no gap was found, so no feature was searched for and nothing was ablated"
    chosen = [{str(feature) for feature in fold.selected} for fold in evidence.folds]
    if any(chosen):
        yield from _of_folds(chosen)
        if figures.ratios is not None:
            yield from _of_ratios(figures.ratios)


def _of_folds(chosen: list[set[str]]) -> Iterator[str]:
    empty = sum(not features for features in chosen)
    if empty:
        yield (
            f"{empty} of {len(chosen)} folds selected no feature; their prompts count as entirely "
            "unexplained"
        )
    elif all(one.isdisjoint(other) for one, other in combinations(chosen, 2)) and len(chosen) > 1:
        yield "the folds agree on no feature; the closure is an average over different sets"


def _of_ratios(ratios: Ratios) -> Iterator[str]:
    difference = ratios.closure_difference
    if abs(difference.value) > DISAGREEMENT and difference.excludes(0):
        yield (
            f"zero and mean replacement disagree: closure {share(ratios.closure)} against "
            f"{share(ratios.closure_mean)}, a difference of {share(difference)}"
        )
    if ratios.closure.value > 1 + OVERSHOOT:
        yield (
            f"the ablation overshoots: it closes {of_gap(ratios.closure.value)} of the gap and "
            "reverses its sign"
        )
    part = ratios.counter_examples_part
    if part.value > COUNTER_EXAMPLES_PART:
        yield (
            f"{of_gap(part.value)} of the gap is closed by moving the counter-examples, which is "
            f"collateral; the examples' own movement closes {share(ratios.examples_part)}"
        )
    sets = len(ratios.null_closures)
    if 0 < sets < STEADY_NULL_SETS:
        yield (
            f"only {sets} matched random sets: their 95th percentile is their largest; "
            f"set null_sets to {STEADY_NULL_SETS} or more"
        )
