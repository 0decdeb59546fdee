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
        """Return the features to try on what a fold's search sees."""
        by_attribution = self.proposal.candidates(fold, most=self.method.candidates)
        sign = self.proposal.sign(self.proposal.weights(fold))
        gains, sweeps = [], []
        for scores in self.proposal.scores:
            found = self._sweep(fold, scores)
            own = np.zeros(scores.sae.width)
            own[found.latent] = sign * found.effect
            best = strongest(own, self.method.max_features)
            predicted = [scores.feature(latent) in by_attribution for latent in best]
            sweeps.append(_evidence(scores, found, predicted))
            gains.append(own)
        self.sweeps[fold] = tuple(sweeps)
        return tuple(self.proposal.for_and_against(gains, self.method.candidates))

    def evidence(self, folds: Sequence[Fold]) -> tuple[SweepEvidence, ...]:
        """Return what the searches of these folds measured."""
        return tuple(
            sweep.model_copy(update={"fold": number})
            for number, fold in enumerate(folds)
            for sweep in self.sweeps.get(fold, ())
        )

    def _sweep(self, fold: Fold, scores: SaeScores) -> Sweep:
        contrast, weights = self.proposal.experiment.contrast, self.proposal.weights(fold)
        return sweep(
            self.proposal.experiment.trace,
            scores.sae,
            scores.attributed @ weights,
            weights,
            budget=_budget(self.method, self.searches * len(self.proposal.scores)),
            targets=self.proposal.targets,
            changes_on=np.flatnonzero(fold.sees(contrast) & contrast.has_role(Role.EXAMPLE)),
            confidence=self.method.confidence,
            seed=self.method.seed,
        )


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
