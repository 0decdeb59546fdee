"""Selection: single ablations filter the candidates, joint ablation grows each fold's set.

What a filter drops keeps its measured effect and the filter's name (``filters.py``).

A fold judges its candidates on its discovery prompts, so these are run first, without controls,
which weigh nothing in a gap and only add to what a feature does elsewhere.  All other rows are run
for the candidates that pass so far, and for the strongest others, which are reported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pm_audit.discover.filters import Activity, Dropped, Filters
from pm_audit.discover.folds import Fold
from pm_audit.discover.propose import Proposal
from pm_audit.engine.ablation import ablate_each, ablate_sets
from pm_audit.engine.agreement import agreement
from pm_audit.engine.contrast import Contrast, Floats, Mask
from pm_audit.engine.known import Known
from pm_audit.engine.search import Growth, grow
from pm_audit.engine.trace import Trace
from pm_audit.models.preference_model import PreferenceModel
from pm_audit.records import Feature, MethodRecord, Role

TRIALS = 4
"""Candidates after which a step of growth takes the best of them."""

LEAST_GAIN = 0.01
"""Share of the gap that a further feature must close."""


OTHERS_SHOWN = 12
"""Candidates beside the selected ones that are reported, strongest effect first."""


@dataclass(frozen=True, eq=False)
class FoldSearch:
    """One fold's selection, and how well attribution had foretold the ablations."""

    fold: Fold
    growth: Growth
    sign_agreement: float | None
    rank_correlation: float | None


@dataclass(frozen=True, eq=False)
class Search:
    """All candidates with their single effects, and each fold's selected set."""

    features: tuple[Feature, ...]
    contributions: Floats
    """[feature row], reward minus reward with this feature alone set to zero; NaN where it was not
    run, as it is on all rows for ``features_run``."""
    folds: tuple[FoldSearch, ...]
    dropped: dict[Feature, Dropped]
    """Candidates that no fold could select, and why."""
    known: Known
    """Rewards of this trace after single and joint ablations."""

    @property
    def features_run(self) -> tuple[Feature, ...]:
        """Those run on every row: what may be selected, and the strongest others."""
        whole = np.flatnonzero(~np.isnan(self.contributions).any(axis=1))
        return tuple(self.features[at] for at in whole)

    def contribution(self, feature: Feature) -> Floats:
        """Return one candidate's contribution, [row]."""
        row: Floats = self.contributions[self.features.index(feature)]
        return row


def select(
    pm: PreferenceModel,
    trace: Trace,
    contrast: Contrast,
    folds: Sequence[Fold],
    proposal: Proposal,
    *,
    method: MethodRecord,
) -> Search:
    """Ablate every candidate alone, filter, and grow one set for each fold."""
    features, known = proposal.features, Known()
    activity = Activity.of(trace, contrast)
    filters = [
        Filters(contrast, contrast.of_prompts(fold.discovery), rare, method.selectivity, activity)
        for fold, rare in zip(folds, proposal.rare, strict=True)
    ]
    weighed = ~contrast.has_role(Role.CONTROL)
    where = np.zeros((len(features), len(trace.grid)), dtype=bool)
    for at, feature in enumerate(features):
        where[at] = _seen_by(feature, folds, proposal, contrast)
    contributions = _alone(pm, trace, features, where & weighed, known)
    asked = _in_question(features, contributions, folds, filters, proposal, trace)
    asked |= _strongest(features, contributions, contrast, beside=asked)
    run = np.array([feature in asked for feature in features])
    rest = run[:, None] & np.isnan(contributions)
    contributions = np.where(rest, _alone(pm, trace, features, rest, known), contributions)
    effects = np.nan_to_num(contributions)
    reasons: dict[Feature, list[Dropped | None]] = {feature: [] for feature in features}
    searches = []
    for fold, proposed, own in zip(folds, proposal.by_fold, filters, strict=True):
        weights = contrast.weights(fold.discovery)
        gap = float(weights @ trace.rewards)
        gains = np.sign(gap) * (effects @ weights)
        allowed: dict[Feature, float] = {}
        for feature in proposed:
            at = features.index(feature)
            reason = own.reason(feature, gains[at], effects[at])
            reasons[feature].append(reason)
            if reason is None:
                allowed[feature] = float(gains[at])
        growth = _grow(pm, trace, allowed, gap, weights, own.rows, known, method)
        predicted = np.array([proposal.integrated(feature) @ weights for feature in proposed])
        measured = np.array([effects[features.index(feature)] @ weights for feature in proposed])
        agrees = agreement(predicted, measured)
        searches.append(FoldSearch(fold, growth, agrees.sign_agreement, agrees.rank_correlation))
    dropped = {
        feature: found[0]
        for feature, found in reasons.items()
        if found and None not in found and found[0] is not None
    }
    return Search(features, contributions, tuple(searches), dropped, known)


def _seen_by(
    feature: Feature, folds: Sequence[Fold], proposal: Proposal, contrast: Contrast
) -> Mask:
    """Return the rows [row] of the discovery prompts of the folds that proposed a feature."""
    own = zip(folds, proposal.by_fold, strict=True)
    prompts = [number for fold, some in own if feature in some for number in fold.discovery]
    return contrast.of_prompts(prompts)


def _alone(
    pm: PreferenceModel, trace: Trace, features: Sequence[Feature], where: Mask, known: Known
) -> Floats:
    """Return each feature's contribution [feature row], NaN but for the pairs of ``where``."""
    contributions = np.full(where.shape, np.nan)
    everywhere = np.arange(len(trace.grid))
    for sae in trace.saes:
        own = [at for at, feature in enumerate(features) if feature.sae == sae.name]
        latents = [features[at].index for at in own]
        effects = ablate_each(pm, trace, sae, latents, where=where[own], known=known)
        dense = effects.dense(latents, everywhere)
        contributions[own] = np.where(where[own], dense, np.nan)
    return contributions


def _in_question(
    features: Sequence[Feature],
    contributions: Floats,
    folds: Sequence[Fold],
    filters: Sequence[Filters],
    proposal: Proposal,
    trace: Trace,
) -> set[Feature]:
    """Return what some fold could select if its controls, counted as zero here, stayed put."""
    asked: set[Feature] = set()
    effects = np.nan_to_num(contributions)
    for fold, proposed, own in zip(folds, proposal.by_fold, filters, strict=True):
        weights = own.contrast.weights(fold.discovery)
        sign = np.sign(weights @ trace.rewards)
        for feature in proposed:
            effect = effects[features.index(feature)]
            if own.reason(feature, sign * (effect @ weights), effect) is None:
                asked.add(feature)
    return asked


def _strongest(
    features: Sequence[Feature], contributions: Floats, contrast: Contrast, *, beside: set[Feature]
) -> set[Feature]:
    """Return the candidates of largest effect on examples that are not among ``beside``."""
    strength = np.abs(np.nanmean(contributions[:, contrast.has_role(Role.EXAMPLE)], axis=1))
    order = [features[at] for at in np.argsort(-strength, kind="stable")]
    return set([feature for feature in order if feature not in beside][:OTHERS_SHOWN])


def _grow(
    pm: PreferenceModel,
    trace: Trace,
    allowed: Mapping[Feature, float],
    gap: float,
    weights: Floats,
    rows: Mask,
    known: Known,
    method: MethodRecord,
) -> Growth:
    seen = np.flatnonzero(rows & (weights != 0))

    def gap_after(sets: Sequence[tuple[Feature, ...]]) -> list[float]:
        after = ablate_sets(pm, trace, sets, rows=seen, known=known)
        return [float(value) for value in after @ weights[seen]]

    if not allowed or gap == 0:
        return Growth((), ())
    return grow(
        allowed,
        gap,
        gap_after,
        max_features=method.max_features,
        trials=TRIALS,
        least_gain=LEAST_GAIN,
    )
