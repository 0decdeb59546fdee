"""Candidates by measurement: features are ablated alone first, and the strongest are proposed.

With real ablation cheap enough attribution is only a hint.  ``exhaustive`` ablates every feature
that fires on a fold's examples; ``budget`` ablates in the order of the scores until a count or a
time is spent, and random subsets of what was left out bound what they could have shown.  Either
way each fold measures on its own discovery prompts alone, so that the held-out ones stay unseen.

How well attribution had predicted the measurements is part of the evidence.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pm_audit.forward.contrast import Floats
from pm_audit.forward.experiment import Experiment
from pm_audit.interventions.ablation_sweep import Budget, Sweep, sweep
from pm_audit.records import Feature, MethodRecord, Role, SweepEvidence
from pm_audit.search.folds import Fold
from pm_audit.search.propose import LEAST_FREQUENCY, RARE_SHOWN, Proposal, SaeScores, strongest
from pm_audit.spec import SearchMode


def measure(
    experiment: Experiment, folds: Sequence[Fold], proposal: Proposal, *, method: MethodRecord
) -> Proposal:
    """Return the same scores with candidates that were chosen by single ablations."""
    budget = _budget(method, shared_by=len(folds) * len(proposal.scores))
    by_fold: list[tuple[Feature, ...]] = []
    rare: list[frozenset[Feature]] = []
    sweeps: list[SweepEvidence] = []
    for number, fold in enumerate(folds):
        ranked: list[tuple[float, Feature]] = []
        inactive: set[Feature] = set()
        for scores in proposal.scores:
            found = _sweep(experiment, fold, scores, budget, method)
            gains = _gains(found, scores, experiment.gap(fold.discovery))
            frequent = scores.frequency(experiment.contrast, fold) >= LEAST_FREQUENCY
            chosen = strongest(gains, frequent, method.candidates)
            dropped = strongest(gains, ~frequent, RARE_SHOWN)
            named = {latent: scores.feature(latent) for latent in chosen + dropped}
            ranked += [(gains[latent], feature) for latent, feature in named.items()]
            inactive |= {named[latent] for latent in dropped}
            predicted = [
                named[latent] in proposal.by_fold[number]
                for latent in chosen[: method.max_features]
            ]
            sweeps.append(_evidence(number, scores, found, predicted))
        ranked.sort(key=lambda pair: -pair[0])
        by_fold.append(tuple(feature for _, feature in ranked))
        rare.append(frozenset(inactive))
    return Proposal(proposal.scores, tuple(by_fold), tuple(rare), tuple(sweeps))


def _budget(method: MethodRecord, *, shared_by: int) -> Budget:
    if method.search == SearchMode.EXHAUSTIVE:
        return Budget()
    seconds = None if method.budget_seconds is None else method.budget_seconds / shared_by
    return Budget(method.budget_count, seconds)


def _sweep(
    experiment: Experiment, fold: Fold, scores: SaeScores, budget: Budget, method: MethodRecord
) -> Sweep:
    weights = experiment.contrast.weights(fold.discovery)
    predicted = scores.integrated @ weights
    # The larger of both scores: one large feature is enough to ruin either.
    order = np.maximum(np.abs(predicted), np.abs(scores.atp @ weights))
    return sweep(
        experiment.trace,
        scores.sae,
        predicted,
        weights,
        order=order,
        budget=budget,
        fires_on=experiment.rows(Role.EXAMPLE, prompts=fold.discovery),
        confidence=method.confidence,
        seed=method.seed,
    )


def _gains(found: Sweep, scores: SaeScores, gap: float) -> Floats:
    """Return each latent's measured effect in the gap's direction; -inf for the unmeasured."""
    gains = np.full(scores.sae.width, -np.inf)
    gains[found.latent] = found.effect if gap >= 0 else -found.effect
    return gains


def _evidence(
    fold: int, scores: SaeScores, found: Sweep, predicted: Sequence[bool]
) -> SweepEvidence:
    missed = found.missed
    return SweepEvidence(
        fold=fold,
        sae=scores.sae.name,
        active=len(found.latent) + len(found.unmeasured),
        measured=len(found.latent),
        sign_agreement=found.agreement.sign_agreement,
        rank_correlation=found.agreement.rank_correlation,
        predicted=float(np.mean(predicted)) if predicted else None,
        missed_total=None if missed is None else missed.total,
        missed_largest=None if missed is None else missed.largest,
        missed_confidence=None if missed is None else missed.confidence,
    )
