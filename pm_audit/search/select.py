"""Selection: single ablations filter the candidates, joint ablation grows each fold's set.

What a filter drops keeps its measured effect and the filter's name (``filters.py``);
``singles.py`` decides on which rows a candidate is ablated alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pm_audit.forward.contrast import Floats
from pm_audit.forward.experiment import Experiment
from pm_audit.interventions.ablation import ablate_sets
from pm_audit.interventions.growth import Growth, grow
from pm_audit.interventions.replay_cache import ReplayCache
from pm_audit.records import Feature, MethodRecord
from pm_audit.search.filters import Activity, Dropped, Filters
from pm_audit.search.folds import Fold
from pm_audit.search.propose import Proposal
from pm_audit.search.singles import SLACK, Singles
from pm_audit.stats.agreement import agreement

TRIALS = 4
"""Candidates after which a step of growth takes the best of them."""

SCREENED = 2
"""Candidates run on all of a fold's rows, as a multiple of those that may be selected."""

LEAST_GAIN = 0.01
"""Share of the gap that a further feature must close."""


@dataclass(frozen=True, eq=False)
class FoldSearch:
    """One fold's selection, and how well attribution had predicted the ablations."""

    fold: Fold
    growth: Growth
    sign_agreement: float | None
    rank_correlation: float | None


@dataclass(frozen=True, eq=False)
class Search:
    """All candidates with their single effects, and each fold's selected set."""

    features: tuple[Feature, ...]
    contributions: Floats
    """[feature row], reward minus reward with this feature alone set to zero; NaN if it was not
    run.  ``features_run`` were run on every row."""
    folds: tuple[FoldSearch, ...]
    dropped: dict[Feature, Dropped]
    """Candidates that no fold could select, and why."""
    cache: ReplayCache
    """Rewards of this trace after single and joint ablations."""

    @property
    def features_run(self) -> tuple[Feature, ...]:
        """Those run on every row: the selected, and the strongest others."""
        whole = np.flatnonzero(~np.isnan(self.contributions).any(axis=1))
        return tuple(self.features[at] for at in whole)

    def contribution(self, feature: Feature) -> Floats:
        """Return one candidate's contribution, [row]."""
        row: Floats = self.contributions[self.features.index(feature)]
        return row


def select(
    experiment: Experiment,
    folds: Sequence[Fold],
    proposal: Proposal,
    *,
    method: MethodRecord,
    reported: bool = True,
) -> Search:
    """Ablate candidates alone, filter, and grow one set for each fold.

    Single effects that a report shows are run on every row if they are ``reported``.
    """
    features, cache, contrast = proposal.features, ReplayCache(), experiment.contrast
    activity = Activity.of(experiment)
    filters = [
        Filters(contrast, contrast.of_prompts(fold.discovery), rare, method.selectivity, activity)
        for fold, rare in zip(folds, proposal.rare, strict=True)
    ]
    singles = Singles(experiment, features, cache)
    singles.screen(folds, filters, proposal, most=SCREENED * method.max_features)
    effects = np.nan_to_num(singles.contributions)
    reasons: dict[Feature, list[Dropped | None]] = {feature: [] for feature in features}
    searches = []
    for fold, proposed, own in zip(folds, proposal.by_fold, filters, strict=True):
        gap = experiment.gap(fold.discovery)
        allowed: dict[Feature, float] = {}
        predicted, measured = [], []
        for feature in proposed:
            at = features.index(feature)
            # Attribution is compared with ablation on the rows on which the candidate was ablated.
            own_weights = singles.gap_weights(at, fold.discovery)
            measured.append(float(own_weights @ effects[at]))
            predicted.append(float(own_weights @ proposal.integrated(feature)))
            gain = float(np.sign(gap)) * measured[-1]
            reason = own.verdict(feature, gain, singles.contributions[at], slack=SLACK)
            reasons[feature].append(reason)
            if reason is None:
                allowed[feature] = gain
        growth = _grow(experiment, fold, allowed, cache, method)
        agrees = agreement(np.array(predicted), np.array(measured))
        searches.append(FoldSearch(fold, growth, agrees.sign_agreement, agrees.rank_correlation))
    dropped = {
        feature: found[0]
        for feature, found in reasons.items()
        if found and None not in found and found[0] is not None
    }
    if reported:
        singles.complete({feature for one in searches for feature in one.growth.selected})
    return Search(features, singles.contributions, tuple(searches), dropped, cache)


def _grow(
    experiment: Experiment,
    fold: Fold,
    allowed: Mapping[Feature, float],
    cache: ReplayCache,
    method: MethodRecord,
) -> Growth:
    weights, gap = experiment.contrast.weights(fold.discovery), experiment.gap(fold.discovery)
    seen = np.flatnonzero(weights)

    def gap_after(sets: Sequence[tuple[Feature, ...]]) -> list[float]:
        after = ablate_sets(experiment.trace, sets, rows=seen, cache=cache)
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
