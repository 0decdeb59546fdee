"""Sweeping an SAE by real ablation: every feature, or the most promising until a budget ends.

``exhaustive`` ablates every latent that differs from its target on the rows in question; nothing
is left to attribution.  With a budget (a count, or seconds) latents are ablated in the order of
their predicted effects, and what was left out is bounded by random subsets, as AtP* (2403.00745):
each unmeasured latent joins a random subset with probability one half and the subset is ablated
jointly.  Were effects to add up, a subset's effect would have a variance of a quarter of the sum
of squared effects, so twice its standard deviation (its upper confidence limit, by chi squared)
bounds the largest single effect that was missed.  Interactions within subsets can hide effects
from this bound; it is a check, not a proof.

An effect is the weighted sum over rows of reward minus reward after ablation; positive means that
the feature raises the weighted sum.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

from pm_audit.forward.edits import edit_sizes
from pm_audit.forward.features import Floats
from pm_audit.forward.grid import Integers
from pm_audit.forward.targets import Targets
from pm_audit.forward.trace import Trace
from pm_audit.interventions.ablation import ablate_each, ablate_sets
from pm_audit.records import Feature
from pm_audit.stats.agreement import Agreement, agreement
from pm_audit.subject.sae import Sae

_LATENTS_AT_ONCE = 64
"""Latents ablated between two looks at the clock."""


@dataclass(frozen=True, slots=True)
class Budget:
    """When to stop; with neither limit the sweep is exhaustive."""

    count: int | None = None
    """Most latents that are ablated."""
    seconds: float | None = None
    """Wall time after which no further latents are begun; results then depend on the machine."""


@dataclass(frozen=True, slots=True)
class Missed:
    """What random subsets say of the latents that were not ablated alone."""

    total: float
    """Estimated sum of the unmeasured effects: twice the mean effect of a subset."""
    largest: float
    """Upper confidence limit on the size of the largest unmeasured effect, if effects add up."""
    confidence: float


@dataclass(frozen=True, eq=False)
class Sweep:
    """Single effects of the latents that were ablated, and a bound on the others."""

    latent: Integers
    """[measured], in the order of their predicted effects, largest first."""
    effect: Floats
    """[measured], weighted sum over rows of the contribution."""
    unmeasured: Integers
    """[latent], active latents beyond the budget."""
    agreement: Agreement
    """Of the predictions with the measured effects."""
    missed: Missed | None
    """None if nothing was left out."""


def sweep(
    trace: Trace,
    sae: Sae,
    predicted: Floats,
    weights: Floats,
    *,
    budget: Budget | None = None,
    targets: Targets | None = None,
    changes_on: Sequence[int] | Integers | None = None,
    subsets: int = 24,
    confidence: float = 0.95,
    seed: int = 0,
) -> Sweep:
    """Measure single effects on a weighted sum of rewards, by ablation.

    Args:
        trace: the clean forward, with ``sae``.
        sae: whose latents are swept.
        predicted: [latent], predicted effects, compared with the measured ones; latents are ablated
            in the order of their sizes, largest first.
        weights: [row], weights of the rewards; rows of weight zero are not run.
        budget: when to stop; exhaustive by default.
        targets: what stands in a feature's place; None for zero.
        changes_on: rows on which a latent must differ from its target to be swept; those with
            weight for None.
        subsets: random subsets that bound what was left out.
        confidence: of that bound.
        seed: of the subsets.

    Raises:
        SaeError: the SAE is not part of the trace.

    """
    budget = budget or Budget()
    rows = np.flatnonzero(weights)
    active = changing_latents(trace, sae, rows if changes_on is None else changes_on, targets)
    ordered = active[np.argsort(-np.abs(predicted[active]), kind="stable")]
    affordable = len(ordered) if budget.count is None else min(budget.count, len(ordered))
    began = time.monotonic()
    parts: list[Floats] = [np.zeros(0)]
    done = 0
    while done < affordable:
        if budget.seconds is not None and time.monotonic() - began >= budget.seconds:
            break
        step = affordable - done if budget.seconds is None else _LATENTS_AT_ONCE
        some = ordered[done : min(done + step, affordable)]
        parts.append(
            ablate_each(trace, sae, some, rows=rows, targets=targets).weighted(some, weights)
        )
        done += len(some)
    measured, left, effect = ordered[:done], ordered[done:], np.concatenate(parts)
    missed = None
    if len(left) and subsets > 1:
        bound = (subsets, confidence, seed)
        missed = _bound(trace, sae, left, weights, targets, *bound)
    return Sweep(measured, effect, left, agreement(predicted[measured], effect), missed)


def changing_latents(
    trace: Trace, sae: Sae, rows: Sequence[int] | Integers | None, targets: Targets | None = None
) -> Integers:
    """Return the latents that differ from their targets anywhere in the rows, sorted."""
    own = trace.sae(sae.name)
    return np.flatnonzero(edit_sizes(trace, own, trace.rows(rows), targets))


def _bound(
    trace: Trace,
    sae: Sae,
    left: Integers,
    weights: Floats,
    targets: Targets | None,
    subsets: int,
    confidence: float,
    seed: int,
) -> Missed:
    """Bound what ``left`` could have shown."""
    rows = np.flatnonzero(weights)
    member = np.random.default_rng(seed).random((subsets, len(left))) < 0.5
    sets = [
        [Feature(sae=sae.name, layer=sae.layer, index=int(index)) for index in left[chosen]]
        for chosen in member
    ]
    after = ablate_sets(trace, sets, rows=rows, targets=targets)
    effect = (trace.rewards[rows] - after) @ weights[rows]
    freedom = subsets - 1
    inflation = np.sqrt(freedom / chi2.ppf(1 - confidence, freedom))
    return Missed(
        total=float(2 * effect.mean()),
        largest=float(2 * effect.std(ddof=1) * inflation),
        confidence=confidence,
    )
