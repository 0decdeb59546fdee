"""Figures that divide by a gap, and so exist only where one was found.

closure (necessity) ``1 - G_S / G``; sufficiency, the share of what all features do to the gap that
is left when all but the selected ones are replaced; transfer, the closure on phrasings that the
search did not see; collateral, the largest movement of an off-target template over the gap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pm_audit.judging.intervals import bootstrap_of
from pm_audit.judging.prompts import Array, OffTarget, PromptTable
from pm_audit.records import Evidence, MethodRecord
from pm_audit.stats import Interval, PromptBootstrap, widening

NULL_QUANTILE = 0.95


@dataclass(frozen=True, slots=True)
class Movement:
    """How far one off-target template moved, signed, as a share of the gap's size."""

    off_target: OffTarget
    share: Interval


@dataclass(frozen=True, slots=True)
class OtherReplacement:
    """What the same sets close under another replacement than the method's."""

    replacement: str
    closure: Interval
    difference: Interval
    """Closure under the method's replacement minus that under this one."""


@dataclass(frozen=True, slots=True)
class Transferred:
    """Closure on a phrasing of the examples that the search did not see."""

    phrasing: int
    closure: Interval | None
    """None if this phrasing has no gap of its own."""


@dataclass(frozen=True, slots=True)
class Ratios:
    """Figures that divide by the gap."""

    closure: Interval
    """Covers the prompts, and how far the folds' searches differ."""
    closure_by_fold: tuple[float, ...]
    """Empty if the prompts of a fold have by themselves no gap on the side of the whole."""
    alongside: tuple[OtherReplacement, ...]
    sufficiency: Interval | None
    """None if it was not run, or all features together may do nothing to the gap."""
    transfer: tuple[Transferred, ...]
    transfer_closure: Interval | None
    movements: tuple[Movement, ...]
    null_closures: NDArray[np.float64]
    """Closure of each matched random set: ``"set"``; empty if none was run."""
    over_null: Interval | None
    """Closure minus the mean closure of the matched random sets."""

    @property
    def null_bar(self) -> float:
        """Return the 95th percentile of the null, an order statistic (never interpolated)."""
        return float(np.quantile(self.null_closures, NULL_QUANTILE, method="higher"))

    @property
    def collateral(self) -> Interval | None:
        """Return the largest movement in size; None without an off-target template.

        The upper limit holds for all templates at once; the lower one is the largest size that
        some template certainly reached.
        """
        if not self.movements:
            return None
        shares = [movement.share for movement in self.movements]
        return Interval(
            value=max(abs(share.value) for share in shares),
            low=max(max(share.low, -share.high, 0.0) for share in shares),
            high=max(max(-share.low, share.high) for share in shares),
        )

    @property
    def worst(self) -> Movement:
        """Return the movement that is largest in size."""
        return max(self.movements, key=lambda movement: abs(movement.share.value))


def measure_ratios(evidence: Evidence, table: PromptTable, method: MethodRecord) -> Ratios:
    """Return every figure that divides by a gap, for a gap that is not zero."""
    bootstrap, gap = bootstrap_of(table.prompts, method), table.gap
    over_null = None
    if len(table.null_gap):
        over_null = bootstrap.ratio(table.null_gap.mean(axis=0) - table.gap_ablated, gap)
    unseen = {one.phrasing: _closed(one.gap, one.gap_after, method) for one in table.unseen}
    return Ratios(
        closure=closure_of(table.gap_ablated, table, bootstrap),
        closure_by_fold=_closure_by_fold(table),
        alongside=tuple(
            OtherReplacement(
                other.replacement,
                closure=closure_of(after, table, bootstrap),
                difference=bootstrap.ratio(after - table.gap_ablated, gap),
            )
            for other, after in zip(evidence.alongside, table.alongside, strict=True)
        ),
        sufficiency=_sufficiency(table, bootstrap),
        transfer=tuple(
            Transferred(phrasing, closure)
            for phrasing, closure in unseen.items()
            if phrasing is not None
        ),
        transfer_closure=unseen.get(None),
        movements=tuple(_movement(one, gap, bootstrap) for one in table.off_targets),
        null_closures=1 - table.null_gap.mean(axis=1) / gap.mean(),
        over_null=over_null,
    )


def closure_of(after: Array, table: PromptTable, bootstrap: PromptBootstrap) -> Interval:
    """Return one minus the gap ``after`` over the gap, both by ``"prompt"``.

    Each fold tests its own search's set, so the interval over prompts is widened by how far the
    sets differ beyond the noise of their prompts; searches that found one set do not differ.
    """
    closure = bootstrap.ratio(after, table.gap).one_minus()
    # what each prompt adds to the closure, to first order
    influence = ((1 - closure.value) * table.gap - after) / table.gap.mean()
    return closure.widened(widening(influence, table.tested))


def _closure_by_fold(table: PromptTable) -> tuple[float, ...]:
    sums = np.stack(
        [np.bincount(table.fold, weights=gaps) for gaps in (table.gap, table.gap_ablated)]
    ) * np.sign(table.gap.mean())
    gap, after = sums
    return tuple((1 - after / gap).tolist()) if np.all(gap > 0) else ()


def _sufficiency(table: PromptTable, bootstrap: PromptBootstrap) -> Interval | None:
    if not table.stages:
        return None
    stage = table.stages[0]
    whole = table.gap - stage["features"]
    if not bootstrap.mean(whole).excludes(0):
        return None
    return bootstrap.ratio(stage["others"] - stage["features"], whole)


def _closed(gap: Array, after: Array, method: MethodRecord) -> Interval | None:
    bootstrap = bootstrap_of(len(gap), method)
    found = bootstrap.mean(gap).excludes(0)
    return bootstrap.ratio(after, gap).one_minus() if found else None


def _movement(off_target: OffTarget, gap: Array, bootstrap: PromptBootstrap) -> Movement:
    """Divide an off-target template's mean over the prompts that have it by the size of the gap."""
    size = gap * np.sign(gap.mean())

    def share(means: Array) -> Array:
        moved, present, whole = means.T
        defined = (present > 0) & (whole > 0)
        below = np.where(defined, present * whole, 1.0)
        return np.where(defined, moved / below, np.nan)

    columns = np.stack([off_target.moved, off_target.present, size], axis=1)
    return Movement(off_target, bootstrap.interval(columns, share))
