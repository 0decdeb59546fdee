"""How far an explanation holds: the share of the gap in each condition that was tried.

The set that closes the gap on held-out prompts may do it under one replacement alone, need other
features next to it, or be about the words of the phrasings that the search saw.  Every report
lists these conditions from here.
"""

from __future__ import annotations

from statistics import fmean
from typing import NamedTuple

from pm_audit.records import Evidence, Figure, HypothesisRecord, Role, Unit
from pm_audit.report import figures


class Condition(NamedTuple):
    """One condition, and the share of the gap that was measured in it."""

    term: str
    """Its entry of the glossary."""
    title: str
    figure: Figure | None
    """None for a phrasing that has no gap of its own."""
    phrasing: str = ""
    """The completion that the title speaks of, as filled in for the first prompt."""
    seen: float | None = None
    """What sets that saw this phrasing close of its gap."""


def conditions(hypothesis: HypothesisRecord, replacement: str) -> tuple[Condition, ...]:
    """Return every condition that was tried; ``replacement`` is the method's own."""
    found = (
        Condition("closure", f"closure, {replacement} replacement", hypothesis.closure),
        *(
            Condition("closure", f"closure, fold {at}", Figure(value=one, unit=Unit.SHARE))
            for at, one in enumerate(hypothesis.closure_by_fold, start=1)
        ),
        *(
            Condition("replacement", f"closure, {one.replacement} replacement", one.closure)
            for one in hypothesis.alongside
        ),
        Condition("sufficiency", "sufficiency", hypothesis.sufficiency),
        Condition("transfer", "closure of unseen phrasings", hypothesis.transfer_closure),
        *phrasings(hypothesis),
        Condition("stability", "stability (mean, range)", hypothesis.stability),
        Condition("collateral", "collateral", hypothesis.collateral),
        Condition("null", "random sets (median, 95th percentile)", hypothesis.null_closure),
        Condition("placebo", "placebo searches (median, range)", hypothesis.placebo_closure),
    )
    return tuple(one for one in found if one.figure is not None or one.phrasing)


def phrasings(hypothesis: HypothesisRecord) -> tuple[Condition, ...]:
    """Return each phrasing of the examples that a search left out."""
    evidence = hypothesis.evidence
    return tuple(
        Condition(
            "transfer",
            "unseen",
            one.closure,
            _text_of(evidence, one.phrasing),
            _seen_closure(evidence, one.phrasing),
        )
        for one in hypothesis.transfer
    )


def _text_of(evidence: Evidence, phrasing: int) -> str:
    examples = (row for row in evidence.rows if row.role is Role.EXAMPLE)
    return next((row.text for row in examples if row.variant == phrasing), "")


def _seen_closure(evidence: Evidence, phrasing: int) -> float | None:
    """Return what the audit's own sets, whose search saw a phrasing, close of its gap."""
    gap = _gap(evidence, phrasing, [row.reward for row in evidence.rows])
    left = _gap(evidence, phrasing, [row.ablated for row in evidence.rows])
    return 1 - left / gap if gap else None


def _gap(evidence: Evidence, phrasing: int, rewards: list[float]) -> float:
    """Return the mean gap of one phrasing to all counter-examples."""
    others = evidence.means(Role.COUNTER_EXAMPLE, rewards)
    of_prompt: dict[int, list[float]] = {}
    for row, reward in zip(evidence.rows, rewards, strict=True):
        if row.role is Role.EXAMPLE and row.variant == phrasing:
            of_prompt.setdefault(row.prompt, []).append(reward)
    gaps = [fmean(values) - others[prompt] for prompt, values in of_prompt.items()]
    return fmean(gaps) if gaps else 0.0


def value(one: Condition) -> str:
    """Return a condition's figure, and that of the searches that saw the phrasing."""
    seen = "" if one.seen is None else f", seen {figures.percent(one.seen)}"
    return figures.with_bounds(one.figure) + seen


def line(hypothesis: HypothesisRecord) -> str:
    """Return in a line how far the selected features hold; empty if nothing was measured."""
    found = {
        "closure": hypothesis.closure,
        "sufficiency": hypothesis.sufficiency,
        "closure of unseen phrasings": hypothesis.transfer_closure,
        "stability": hypothesis.stability,
    }
    return "; ".join(
        f"{title} {figures.with_bounds(one)}" for title, one in found.items() if one is not None
    )


def sentence(hypothesis: HypothesisRecord) -> str:
    """Return the same in words, without the closure and without a full stop."""
    said = []
    if hypothesis.sufficiency is not None:
        kept = figures.with_bounds(hypothesis.sufficiency)
        said.append(f"alone, they keep {kept} of what all features do to it")
    if hypothesis.transfer_closure is not None:
        closed = figures.with_bounds(hypothesis.transfer_closure)
        said.append(f"searches that did not see a phrasing close {closed} of its gap")
    elif hypothesis.transfer:
        said.append(
            "what they close of a phrasing that no search saw is open, for its gap may be 0"
        )
    if hypothesis.stability is not None:
        shared = figures.number(hypothesis.stability)
        said.append(f"searches on different prompts agree on {shared} of their features")
    text = "; ".join(said)
    return text[:1].upper() + text[1:]
