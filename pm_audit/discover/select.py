"""Selection: single ablations filter the candidates, joint ablation grows each fold's set.

What a filter drops keeps its measured effect and the filter's name (``filters.py``).

Controls weigh nothing in a gap; they only add to what a feature does elsewhere.  So they are run
for the candidates that pass without them, and for the strongest others, which are reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pm_audit.discover.filters import Activity, Dropped, Filters
from pm_audit.discover.folds import Fold
from pm_audit.discover.propose import Proposal
from pm_audit.engine.ablation import ablate_each, ablate_sets
from pm_audit.engine.agreement import agreement
from pm_audit.engine.contrast import Contrast, Floats, Integers, Mask
from pm_audit.engine.known import Known
from pm_audit.engine.search import Growth, grow
from pm_audit.engine.trace import Trace
from pm_audit.models.preference_model import PreferenceModel
from pm_audit.records import Feature, MethodRecord, Role

TRIALS = 4
"""Candidates tried jointly at each step of growth."""

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
    """[feature row], reward minus reward with this feature alone set to zero; NaN on the controls
    of candidates that other completions had ruled out already and that are not reported."""
    folds: tuple[FoldSearch, ...]
    dropped: dict[Feature, Dropped]
    """Candidates that no fold could select, and why."""
    known: Known
    """Rewards of this trace after single and joint ablations."""

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
    contributions = np.zeros((len(features), len(trace.grid)))
    controls = contrast.has_role(Role.CONTROL)
    weighed = np.flatnonzero(~controls)
    contributions[:, weighed] = _alone(pm, trace, features, weighed, known)
    if controls.any():
        asked = _in_question(features, contributions, folds, filters, proposal, trace)
        others = _strongest(features, contributions, contrast, beside=asked)
        run = np.flatnonzero([feature in asked | others for feature in features])
        at_controls = np.flatnonzero(controls)
        found = _alone(pm, trace, [features[at] for at in run], at_controls, known)
        contributions[:, controls] = np.nan
        contributions[np.ix_(run, at_controls)] = found
    effects = np.nan_to_num(contributions)
    reasons: dict[Feature, list[Dropped | None]] = {feature: [] for feature in features}
    searches = []
    for fold, proposed, own in zip(folds, proposal.by_fold, filters, strict=True):
        weights = contrast.weights(fold.discovery)
        gap = float(weights @ trace.rewards)
        gains = np.sign(gap) * (effects @ weights)
        allowed = []
        for feature in proposed:
            at = features.index(feature)
            reason = own.reason(feature, gains[at], effects[at])
            reasons[feature].append(reason)
            if reason is None:
                allowed.append(feature)
        allowed.sort(key=lambda feature: -gains[features.index(feature)])
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


def _alone(
    pm: PreferenceModel,
    trace: Trace,
    features: Sequence[Feature],
    rows: Integers,
    known: Known,
) -> Floats:
    """Return each feature's contribution [feature row] in the given rows."""
    contributions = np.zeros((len(features), len(rows)))
    for sae in trace.saes:
        own = [at for at, feature in enumerate(features) if feature.sae == sae.name]
        latents = [features[at].index for at in own]
        effects = ablate_each(pm, trace, sae, latents, rows=rows, known=known)
        contributions[own] = effects.dense(latents, rows)
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
    for fold, proposed, own in zip(folds, proposal.by_fold, filters, strict=True):
        weights = own.contrast.weights(fold.discovery)
        sign = np.sign(weights @ trace.rewards)
        for feature in proposed:
            effect = contributions[features.index(feature)]
            if own.reason(feature, sign * (effect @ weights), effect) is None:
                asked.add(feature)
    return asked


def _strongest(
    features: Sequence[Feature], contributions: Floats, contrast: Contrast, *, beside: set[Feature]
) -> set[Feature]:
    """Return the candidates of largest effect on examples that are not among ``beside``."""
    strength = np.abs(contributions[:, contrast.has_role(Role.EXAMPLE)].mean(axis=1))
    order = [features[at] for at in np.argsort(-strength, kind="stable")]
    return set([feature for feature in order if feature not in beside][:OTHERS_SHOWN])


def _grow(
    pm: PreferenceModel,
    trace: Trace,
    allowed: Sequence[Feature],
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
