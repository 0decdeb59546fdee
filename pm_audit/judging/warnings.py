"""Warnings: what a reader should know beyond the outcomes of the checks."""

from __future__ import annotations

from collections.abc import Iterator

from pm_audit.judging.figures import Figures
from pm_audit.judging.ratios import Ratios
from pm_audit.judging.wording import of_gap, share
from pm_audit.records import Evidence, Role
from pm_audit.spec import Expect

STEADY_PROMPTS = 10
"""Below it the coverage of every interval falls off (docs/statistics.md)."""

STEADY_NULL_SETS = 20
"""With fewer, the 95th percentile of the null is its largest member."""

OVERSHOOT = 0.2
"""Closure above 1, as a share of the gap, that is worth a sentence."""


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
    if (search := evidence.generated) and not search.broke:
        left = search.too_small + search.refused
        if 2 * left >= search.distinct:
            yield (
                f"{left:,} of {search.distinct:,} edits were not judged, as they change too few "
                "texts or make texts that the PM cannot read; what holds, holds of the others"
            )
    if not evidence.folds:
        where = " on the prompts with a search" if figures.searched_gap is not None else ""
        yield f"no gap was found{where}, so no feature was searched for and nothing was ablated"
        return
    phrasings = {row.variant for row in evidence.rows if row.role is Role.EXAMPLE}
    if len(phrasings) == 1 and evidence.pairs is None and evidence.generated is None:
        yield (
            "the examples have a single phrasing, so nothing shows that other phrasings of the "
            "claim have the same causes; add examples"
        )
    said = {
        row.prompt for row in evidence.rows if row.role is Role.COUNTER_EXAMPLE and row.text.strip()
    }
    if blank := figures.searched - len(said):
        yield (
            f"the counter-examples of {blank} of {figures.searched} prompts are blank: a format "
            "that gives them no token leaves no mean to put features at, and they are put at zero; "
            "write counter-examples that say something else"
        )
    empty = sum(not fold.selected for fold in evidence.folds)
    if 0 < empty < len(evidence.folds):
        yield (
            f"{empty} of {len(evidence.folds)} folds selected no feature; their prompts count as "
            "entirely unexplained"
        )
    if figures.ratios is not None and empty < len(evidence.folds):
        yield from _of_ratios(figures.ratios)


def _of_ratios(ratios: Ratios) -> Iterator[str]:
    if ratios.closure.value > 1 + OVERSHOOT:
        yield (
            f"the ablation overshoots: it closes {of_gap(ratios.closure.value)} of the gap and "
            "reverses its sign"
        )
    unseen = [("together", ratios.transfer_closure)]
    unseen += [(f"example {one.phrasing + 1}", one.closure) for one in ratios.transfer]
    less = [
        f"{words} {share(closure)}"
        for words, closure in unseen
        if closure is not None and closure.high < ratios.closure.low
    ]
    if less:
        yield (
            f"of phrasings that the search did not see, less of the gap is closed: "
            f"{', '.join(less)}, against {share(ratios.closure)}"
        )
    sets = len(ratios.null_closures)
    if 0 < sets < STEADY_NULL_SETS:
        yield (
            f"only {sets} matched random sets: their 95th percentile is their largest; "
            f"set null_sets to {STEADY_NULL_SETS} or more"
        )
