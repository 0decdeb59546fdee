"""Every figure of a verdict with its interval, from one table of prompts.

gap ``G_0 = mean_p g_p``; closure ``1 - G_S / G_0``; residual ``G_S``, raw, in sigma, and as a
share of ``G_0`` (negative: overshoot).  The gap is found when its interval lies beyond the noise
floor on one side of zero; only then is a ratio to it formed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pm_audit.judging.prompts import OffTarget, PromptTable, tabulate
from pm_audit.judging.wording import more_prompts
from pm_audit.records import Evidence, Figure, GapDecomposition, MethodRecord, Unit
from pm_audit.stats import (
    Interval,
    PromptBootstrap,
    equivalence_p_value,
    minimum_detectable_gap,
    sign_flip_p_value,
)

MINIMUM_PROMPTS = 6
"""Below six prompts no sign-flip test can reach the 5% level (2 / 2^5 > 0.05)."""

NOISE_SIDES = 2
"""A gap is a difference of two rewards, each of which may be off by the noise floor."""

NULL_QUANTILE = 0.95


@dataclass(frozen=True, slots=True)
class Movement:
    """How far one off-target template moved, signed, as a share of the gap's size."""

    off_target: OffTarget
    share: Interval


@dataclass(frozen=True, slots=True)
class Ratios:
    """Figures that divide by the gap, and so exist only if one was found."""

    closure: Interval
    closure_mean: Interval
    """Closure under mean replacement."""
    closure_difference: Interval
    """Zero minus mean replacement."""
    examples_part: Interval
    """Part of the closure that the examples' own movement makes."""
    counter_examples_part: Interval
    """Part of the closure that the counter-examples' movement makes."""
    movements: tuple[Movement, ...]
    preserved: Interval
    """Gap under the SAE's reconstruction over the gap."""
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


@dataclass(frozen=True, slots=True)
class Figures:
    """All that the checks compare; rewards raw unless a name says sigma."""

    prompts: int
    more_prompts: str
    """How to try more prompts."""
    sigma: float
    floor: float
    """Largest gap that batching and padding alone could make, raw."""
    gap: Interval
    residual: Interval
    examples_moved: Interval
    counter_examples_moved: Interval
    splice_change: Interval
    """Gap under the SAE's reconstruction minus the gap."""
    p_value: float
    minimum_detectable_gap: float
    """In sigma; 0 for a single prompt, which has no spread."""
    equivalence_p: float
    """p-value of the claim that the gap lies inside the margin."""
    ratios: Ratios | None
    decompositions: tuple[GapDecomposition, ...]
    interaction: Interval | None
    """Joint effect on the examples minus the sum of single effects, raw."""

    @property
    def gap_sigma(self) -> Interval:
        """Return the gap in sigma."""
        return self.gap.scaled(1 / self.sigma)

    @property
    def floor_sigma(self) -> float:
        """Return the noise floor of a gap in sigma."""
        return self.floor / self.sigma

    @property
    def share_floor(self) -> float:
        """Return what rounding can make of a share of the gap, a mean over the prompts.

        Each prompt's rewards are rounded by themselves, so a mean is off by less than one of them.
        """
        size = abs(self.gap.value)
        return self.floor / math.sqrt(self.prompts) / size if size > 0 else math.inf


def as_figure(interval: Interval, unit: Unit) -> Figure:
    """Turn an interval into a figure of the record; an infinite limit becomes None."""
    low, high = interval.low, interval.high
    return Figure(
        value=interval.value,
        low=low if math.isfinite(low) else None,
        high=high if math.isfinite(high) else None,
        unit=unit,
    )


def bootstrap_of(prompts: int, method: MethodRecord) -> PromptBootstrap:
    """Return the resampling of prompts that every interval of the method rests on."""
    return PromptBootstrap(
        prompts,
        resamples=method.bootstrap_resamples,
        confidence=method.confidence,
        seed=method.seed,
    )


def measure(
    evidence: Evidence, method: MethodRecord, *, margin: float, probe_prompts: int | None = None
) -> Figures:
    """Return every figure of one hypothesis.

    ``margin`` is the largest gap in sigma that counts as none; ``probe_prompts`` are the prompts
    that the hypothesis has, tried or not.
    """
    table = tabulate(evidence)
    bootstrap = bootstrap_of(table.prompts, method)
    gap = bootstrap.mean(table.gap)
    floor = NOISE_SIDES * evidence.noise
    found = table.prompts >= MINIMUM_PROMPTS and gap.outside(-floor, floor)
    detectable = 0.0
    if table.prompts > 1:
        deviation = float(np.std(table.gap, ddof=1)) / evidence.sigma
        detectable = minimum_detectable_gap(deviation, table.prompts)
    return Figures(
        prompts=table.prompts,
        more_prompts=more_prompts(table.prompts, of=probe_prompts, at_most=method.prompts),
        sigma=evidence.sigma,
        floor=floor,
        gap=gap,
        residual=bootstrap.mean(table.gap_zero),
        examples_moved=bootstrap.mean(table.examples_moved),
        counter_examples_moved=bootstrap.mean(table.counter_examples_moved),
        splice_change=bootstrap.mean(table.gap_spliced - table.gap),
        p_value=sign_flip_p_value(table.gap, seed=method.seed),
        minimum_detectable_gap=detectable,
        equivalence_p=equivalence_p_value(table.gap, margin * evidence.sigma),
        ratios=_ratios(table, bootstrap) if found else None,
        decompositions=tuple(_decompositions(evidence, table, bootstrap)) if found else (),
        interaction=None if table.interaction is None else bootstrap.mean(table.interaction),
    )


def _ratios(table: PromptTable, bootstrap: PromptBootstrap) -> Ratios:
    gap = table.gap
    null_closures = 1 - table.null_gap.mean(axis=1) / gap.mean()
    over_null = None
    if len(null_closures):
        over_null = bootstrap.ratio(table.null_gap.mean(axis=0) - table.gap_zero, gap)
    return Ratios(
        closure=bootstrap.ratio(table.gap_zero, gap).one_minus(),
        closure_mean=bootstrap.ratio(table.gap_mean, gap).one_minus(),
        closure_difference=bootstrap.ratio(table.gap_mean - table.gap_zero, gap),
        examples_part=bootstrap.ratio(-table.examples_moved, gap),
        counter_examples_part=bootstrap.ratio(table.counter_examples_moved, gap),
        movements=tuple(_movement(one, gap, bootstrap) for one in table.off_targets),
        preserved=bootstrap.ratio(table.gap_spliced, gap),
        null_closures=null_closures,
        over_null=over_null,
    )


def _decompositions(
    evidence: Evidence, table: PromptTable, bootstrap: PromptBootstrap
) -> Iterator[GapDecomposition]:
    """Yield where the gap lives, for all SAEs together and for each alone."""
    for of, (selected, features, stream) in zip(evidence.replaced, table.replaced, strict=True):
        parts = {
            "selected": table.gap - selected,
            "other_features": selected - features,
            "error_term": features - stream,
            "rest": stream,
        }
        shown = {name: as_figure(bootstrap.mean(part), Unit.REWARD) for name, part in parts.items()}
        yield GapDecomposition(sae=of.sae, layer=of.layer, **shown)


def _movement(
    off_target: OffTarget, gap: NDArray[np.float64], bootstrap: PromptBootstrap
) -> Movement:
    """Divide an off-target template's mean over the prompts that have it by the size of the gap."""
    size = gap * np.sign(gap.mean())

    def share(means: NDArray[np.float64]) -> NDArray[np.float64]:
        moved, present, whole = means.T
        defined = (present > 0) & (whole > 0)
        below = np.where(defined, present * whole, 1.0)
        return np.where(defined, moved / below, np.nan)

    columns = np.stack([off_target.moved, off_target.present, size], axis=1)
    return Movement(off_target, bootstrap.interval(columns, share))
