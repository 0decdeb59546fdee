"""Parts of a judged hypothesis that are more than a figure: where its gap lives, what closes it."""

from __future__ import annotations

from pm_audit.records.base import Figure, Record


class BaselinePoint(Record):
    """What a baseline does with a number of directions."""

    directions: int
    closure: Figure
    collateral: Figure | None
    """Largest mean movement of a counter-example or control, as a share of the gap."""


class Baseline(Record):
    """One way of explaining the gap, with its worth at each number of directions."""

    name: str
    points: tuple[BaselinePoint, ...]


class GapDecomposition(Record):
    """Where the gap lives: four parts that sum to it, in raw reward.

    The parts are replaced in this order.  Each figure is the part of the gap that this removes; the
    rest is what remains.
    """

    sae: str | None
    """The one SAE that is replaced; None for all SAEs together."""
    layer: int | None
    selected: Figure
    other_features: Figure
    error_term: Figure
    rest: Figure
    error_first: Figure
    """What replacing the error term removes before any feature is replaced; its share of the gap
    depends on the order, so both are given."""


class Alongside(Record):
    """Closure by the same sets under another replacement than the method's."""

    replacement: str
    closure: Figure


class Transfer(Record):
    """Closure on a phrasing of the examples that took no part in the search."""

    phrasing: int
    """Index of the example template, from 0."""
    closure: Figure | None
    """None if this phrasing has no gap of its own to close."""
