"""Every figure of a verdict with its interval, from one table of prompts.

gap ``G = mean_p g_p``; residual ``G_S``, raw, in sigma, and as a share of ``G`` (negative:
overshoot).  The gap is found when its interval lies beyond the noise floor on one side of zero;
only then are ratios to it formed (``ratios.py``).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pm_audit.judging.intervals import as_figure, bootstrap_of
from pm_audit.judging.prompts import Array, PromptTable, tabulate
from pm_audit.judging.ratios import Ratios, measure_ratios
from pm_audit.judging.stability import stability_of
from pm_audit.judging.wording import more_prompts, more_searched
from pm_audit.records import Evidence, GapDecomposition, MethodRecord, Unit
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


@dataclass(frozen=True, slots=True)
class Figures:
    """All that the checks compare; rewards raw unless a name says sigma."""

    prompts: int
    searched: int
    """Prompts on which features were searched for, if there is a gap."""
    more_prompts: str
    """How to try more prompts."""
    more_searched: str
    """How to search for features on more prompts."""
    sigma: float
    floor: float
    """Largest gap that batching and padding alone could make, raw."""
    gap: Interval
    searched_gap: Interval | None
    """Of the prompts on which features were searched for; None if these are all."""
    residual: Interval
    examples_moved: Interval
    counter_examples_moved: Interval
    p_value: float
    minimum_detectable_gap: float
    """In sigma; 0 for a single prompt, which has no spread."""
    equivalence_p: float
    """p-value of the claim that the gap lies inside the margin."""
    ratios: Ratios | None
    stability: Interval | None
    """Mean, least and largest Jaccard index of two searches; None without a gap."""
    decompositions: tuple[GapDecomposition, ...]
    interaction: Interval | None
    """Joint effect on the examples minus the sum of single effects, raw."""

    @property
    def gap_sigma(self) -> Interval:
        """Return the gap in sigma."""
        return self.gap.scaled(1 / self.sigma)

    @property
    def explained_gap_sigma(self) -> Interval:
        """Return the gap of the prompts on which features were searched for, in sigma."""
        return (self.searched_gap or self.gap).scaled(1 / self.sigma)

    @property
    def floor_sigma(self) -> float:
        """Return the noise floor of a gap in sigma."""
        return self.floor / self.sigma

    @property
    def share_floor(self) -> float:
        """Return what rounding can make of a share of the gap, a mean over the prompts.

        Each prompt's rewards are rounded by themselves, so a mean is off by less than one of them.
        """
        size = abs((self.searched_gap or self.gap).value)
        return self.floor / math.sqrt(self.searched) / size if size > 0 else math.inf


def measure(
    evidence: Evidence, method: MethodRecord, *, margin: float, probe_prompts: int | None = None
) -> Figures:
    """Return every figure of one hypothesis.

    ``margin`` is the largest gap in sigma that counts as none; ``probe_prompts`` are the prompts
    that the hypothesis has, tried or not.
    """
    table = tabulate(evidence)
    gaps, tried = _every_gap(evidence, table), evidence.tried
    bootstrap = bootstrap_of(table.prompts, method)
    searched_gap = bootstrap.mean(table.gap)
    gap = bootstrap_of(tried, method).mean(gaps) if evidence.further else searched_gap
    floor = NOISE_SIDES * evidence.noise
    found = table.prompts >= MINIMUM_PROMPTS and all(
        # of some prompts' gap, only what all have too can be explained
        one.outside(-floor, floor) and one.value * gap.value > 0
        for one in (gap, searched_gap)
    )
    detectable = 0.0
    if tried > 1:
        deviation = float(np.std(gaps, ddof=1)) / evidence.sigma
        detectable = minimum_detectable_gap(deviation, tried)
    more = more_prompts(tried, of=probe_prompts, at_most=method.prompts, pairs=evidence.pairs)
    return Figures(
        prompts=tried,
        searched=table.prompts,
        more_prompts=more,
        more_searched=more_searched(evidence) if evidence.further else more,
        sigma=evidence.sigma,
        floor=floor,
        gap=gap,
        searched_gap=searched_gap if evidence.further else None,
        residual=bootstrap.mean(table.gap_ablated),
        examples_moved=bootstrap.mean(table.examples_moved),
        counter_examples_moved=bootstrap.mean(table.counter_examples_moved),
        p_value=sign_flip_p_value(gaps, seed=method.seed),
        minimum_detectable_gap=detectable,
        equivalence_p=equivalence_p_value(gaps, margin * evidence.sigma),
        ratios=measure_ratios(evidence, table, method) if found else None,
        stability=stability_of(evidence) if found else None,
        decompositions=tuple(_decompositions(evidence, table, bootstrap)) if found else (),
        interaction=None if table.interaction is None else bootstrap.mean(table.interaction),
    )


def _every_gap(evidence: Evidence, table: PromptTable) -> Array:
    """Return the gap of each prompt, searched or not, in an order that the values fix."""
    if not evidence.further:
        return table.gap
    return np.sort(np.concatenate([table.gap, [one.gap for one in evidence.further]]))


def _decompositions(
    evidence: Evidence, table: PromptTable, bootstrap: PromptBootstrap
) -> Iterator[GapDecomposition]:
    """Yield where the gap lives, for all SAEs together and for each alone."""
    for of, gaps in zip(evidence.stages, table.stages, strict=True):
        parts = {
            "selected": table.gap - gaps["selected"],
            "other_features": gaps["selected"] - gaps["features"],
            "error_term": gaps["features"] - gaps["stream"],
            "rest": gaps["stream"],
            "error_first": table.gap - gaps["error"],
        }
        shown = {name: as_figure(bootstrap.mean(part), Unit.REWARD) for name, part in parts.items()}
        yield GapDecomposition(sae=of.sae, layer=of.layer, **shown)
