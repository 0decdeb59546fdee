"""Where the gap lives, in words: the four parts, the same in every report.

The error term comes last among them.  What it carries depends on the order, so reports also show
what replacing it first removes.
"""

from __future__ import annotations

from collections.abc import Iterator

from pm_audit.records import Figure, GapDecomposition, HypothesisRecord

PARTS = {
    "selected": "selected features",
    "other_features": "other features of the SAE",
    "error_term": "the SAE's error term",
    "rest": "the rest (prompt, length)",
}
"""Titles of the parts by field of ``GapDecomposition``, in the order of replacement."""

ERROR_FIRST = "the SAE's error term, if it is replaced first"
"""Title of ``GapDecomposition.error_first``, which is no part of the sum."""


def parts(of: GapDecomposition) -> Iterator[tuple[str, str, Figure]]:
    """Yield each part's field, title and figure."""
    for name, title in PARTS.items():
        yield name, title, getattr(of, name)


def shown(of: GapDecomposition) -> Iterator[tuple[str, Figure]]:
    """Yield the title and figure of each part, then of the error term replaced first."""
    for _, title, figure in parts(of):
        yield title, figure
    yield ERROR_FIRST, of.error_first


def titled(hypothesis: HypothesisRecord) -> Iterator[tuple[str, GapDecomposition]]:
    """Yield each decomposition with whose it is; the title is empty if there is only one."""
    several = len(hypothesis.decompositions) > 1
    for one in hypothesis.decompositions:
        whose = "all SAEs together" if one.sae is None else f"{one.sae} alone"
        yield whose if several else "", one
