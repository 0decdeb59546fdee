"""Candidates by measurement: features are ablated alone first, and the strongest are proposed.

With real ablation cheap enough attribution is only a hint.  ``exhaustive`` ablates every feature
that differs from its target on the examples that a search sees; ``budget`` ablates in the order of
the attributions until a count or a time is spent, and random subsets of what was left out bound
what they could have shown.  Either way each search measures on what it sees alone, so that the
held-out prompts and phrasings stay unseen.

How well attribution had predicted the measurements is part of the evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from pm_audit.forward.contrast import Floats
from pm_audit.interventions.ablation_sweep import Budget, Sweep, sweep
from pm_audit.records import Feature, MethodRecord, Role, SweepEvidence
from pm_audit.search.folds import Fold
from pm_audit.search.propose import Proposal, SaeScores, strongest
from pm_audit.spec import SearchMode


@dataclass(eq=False)
class Measured:
    """Proposes the features of greatest measured effect, and keeps what was measured."""

    proposal: Proposal
    method: MethodRecord
    searches: int
    """Searches that share the budget of time."""
    sweeps: dict[Fold, tuple[SweepEvidence, ...]] = field(default_factory=dict)

    def candidates(self, fold: Fold) -> tuple[Feature, ...]:
        """Return the features to try on what a fold's search sees, best effect first."""
        by_attribution = self.proposal.candidates(fold, most=self.method.max_features)
        gains: dict[Feature, float] = {}
        sweeps = []
        for scores in self.proposal.scores:
            found = self._sweep(fold, scores)
            own = self._gains(fold, scores, found)
            best = [scores.feature(latent) for latent in strongest(own, self.method.candidates)]
            gains |= {feature: float(own[feature.index]) for feature in best}
            predicted = [one in by_attribution for one in best[: self.method.max_features]]
            sweeps.append(_evidence(scores, found, predicted))
        self.sweeps[fold] = tuple(sweeps)
        taken = sorted(gains, key=lambda feature: -gains[feature])
        return tuple(taken[: self.method.candidates])

    def evidence(self, folds: Sequence[Fold]) -> tuple[SweepEvidence, ...]:
        """Return what the searches of these folds measured."""
        return tuple(
            sweep.model_copy(update={"fold": number})
            for number, fold in enumerate(folds)
            for sweep in self.sweeps.get(fold, ())
        )

    def _sweep(self, fold: Fold, scores: SaeScores) -> Sweep:
        contrast = self.proposal.experiment.contrast
        sees = fold.sees(contrast)
        weights = contrast.weights(fold.discovery, among=sees)
        return sweep(
            self.proposal.experiment.trace,
            scores.sae,
            scores.attributed @ weights,
            weights,
            budget=_budget(self.method, self.searches * len(self.proposal.scores)),
            targets=self.proposal.targets,
            changes_on=np.flatnonzero(sees & contrast.has_role(Role.EXAMPLE)),
            confidence=self.method.confidence,
            seed=self.method.seed,
        )

    def _gains(self, fold: Fold, scores: SaeScores, found: Sweep) -> Floats:
        """Return measured effects in the gap's direction, [latent]; -inf for the unmeasured."""
        gap = self.proposal.experiment.gap(fold.discovery)
        gains = np.full(scores.sae.width, -np.inf)
        gains[found.latent] = found.effect if gap >= 0 else -found.effect
        return gains


def _budget(method: MethodRecord, shared_by: int) -> Budget:
    if method.search == SearchMode.EXHAUSTIVE:
        return Budget()
    seconds = None if method.budget_seconds is None else method.budget_seconds / shared_by
    return Budget(method.budget_count, seconds)


def _evidence(scores: SaeScores, found: Sweep, predicted: Sequence[bool]) -> SweepEvidence:
    missed = found.missed
    return SweepEvidence(
        fold=0,
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
