"""Where the gap lives, in words: the four parts, the same in every report."""

from __future__ import annotations

from collections.abc import Iterator

from pm_audit.records import Figure, GapDecomposition, HypothesisRecord
from pm_audit.report import figures

PARTS = {
    "selected": "selected features",
    "other_features": "other features of the SAE",
    "error_term": "the SAE's error term",
    "rest": "the rest (prompt, length)",
}
"""Titles of the parts by field of ``GapDecomposition``, in the order of replacement."""


def parts(of: GapDecomposition) -> Iterator[tuple[str, str, Figure]]:
    """Yield each part's field, title and figure."""
    for name, title in PARTS.items():
        yield name, title, getattr(of, name)


def titled(hypothesis: HypothesisRecord) -> Iterator[tuple[str, GapDecomposition]]:
    """Yield each decomposition with whose it is; the title is empty if there is only one."""
    several = len(hypothesis.decompositions) > 1
    for one in hypothesis.decompositions:
        whose = "all SAEs together" if one.sae is None else f"{one.sae} alone"
        yield whose if several else "", one


def note(hypothesis: HypothesisRecord) -> str:
    """Return why the selected features' part differs from the closure; empty if it does not."""
    closure = hypothesis.closure
    if not hypothesis.decompositions or closure is None:
        return ""
    share = figures.share_of(hypothesis.decompositions[0].selected.value, hypothesis.gap.value)
    if share == figures.number(closure):
        return ""
    return (
        f"The selected features carry {share} here and the closure is {figures.number(closure)}: "
        "this decomposition sets them to the counter-examples' means, one part of the completion "
        "after the other, and the closure sets them to zero."
    )
