"""Single ablations of the candidates, in stages: most rows are run for the few that may matter.

1. One example and one counter-example of each discovery prompt, for every candidate of the fold.
2. All of them, for the strongest that the filters let pass so far, with some slack.
3. The controls of these prompts, for those that pass now.
4. Every row, once the sets are grown, for the selected and for the strongest others, which are
   reported.

Controls weigh nothing in a gap; they only add to what a feature does elsewhere, so until they are
run they count as unmoved.  The first sample drops a candidate if it shows no gain, if
the selectivity falls short by more than the slack, or if enough others are stronger; each of these
reasons has a filter's name.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from pm_audit.forward.contrast import Floats, Mask
from pm_audit.forward.experiment import Experiment
from pm_audit.interventions.ablation import ablate_each
from pm_audit.interventions.replay_cache import ReplayCache
from pm_audit.records import Feature, Role
from pm_audit.search.filters import Filters
from pm_audit.search.folds import Fold
from pm_audit.search.propose import Proposal

SLACK = 0.1
"""How far below the required selectivity a candidate's first sample may lie."""

OTHERS_SHOWN = 12
"""Candidates that are reported next to the selected ones, strongest effect first."""


class Singles:
    """What each candidate of all folds does alone, as far as it was run.

    The cache stores the rewards, for later joint ablations.
    """

    def __init__(
        self, experiment: Experiment, features: Sequence[Feature], cache: ReplayCache
    ) -> None:
        self.features = tuple(features)
        self.contributions: Floats = np.full((len(features), len(experiment.rewards)), np.nan)
        """[feature row], reward minus reward with the feature set to zero; NaN if not run."""
        self._experiment, self._contrast, self._cache = experiment, experiment.contrast, cache

    def run(self, where: Mask) -> None:
        """Ablate in these pairs [feature row], but for those that were run already."""
        missing = where & np.isnan(self.contributions)
        rows = np.arange(missing.shape[1])
        trace = self._experiment.trace
        for sae in trace.saes:
            own = [at for at, feature in enumerate(self.features) if feature.sae == sae.name]
            latents = [self.features[at].index for at in own]
            effects = ablate_each(trace, sae, latents, where=missing[own], cache=self._cache)
            found = effects.dense(latents, rows)
            self.contributions[own] = np.where(missing[own], found, self.contributions[own])

    def gap_weights(self, at: int, prompts: Sequence[int]) -> Floats:
        """Return weights [row] of the gap over the rows on which the candidate was run.

        They make an effect on a sample of phrasings an estimate of the effect on all of them.
        """
        return self._contrast.weights(prompts, among=~np.isnan(self.contributions[at]))

    def screen(
        self, folds: Sequence[Fold], filters: Sequence[Filters], proposal: Proposal, *, most: int
    ) -> None:
        """Run what each fold's filters need to judge its candidates, and little more.

        At most ``most`` candidates of a fold are run beyond the first sample.
        """
        seen = np.zeros(self.contributions.shape, dtype=bool)
        for fold, proposed in zip(folds, proposal.by_fold, strict=True):
            own = [self.features.index(feature) for feature in proposed]
            seen[own] |= self._contrast.of_prompts(fold.discovery)
        controls = self._contrast.has_role(Role.CONTROL)
        self.run(seen & ~controls & self._contrast.one_of_each())
        hopeful = self._passing(folds, filters, proposal, slack=SLACK, most=most)
        self.run(seen & ~controls & hopeful)
        self.run(seen & hopeful & self._passing(folds, filters, proposal, slack=0.0, most=None))

    def complete(self, chosen: Collection[Feature]) -> None:
        """Run every row for the chosen candidates and for the strongest others."""
        examples = self.contributions[:, self._contrast.has_role(Role.EXAMPLE)]
        own = np.array([feature in chosen for feature in self.features], dtype=bool)
        strength = np.where(own, -1.0, np.abs(np.nanmean(examples, axis=1)))
        own[np.argsort(-strength, kind="stable")[:OTHERS_SHOWN]] = True
        self.run(np.broadcast_to(own[:, None], self.contributions.shape))

    def _passing(
        self,
        folds: Sequence[Fold],
        filters: Sequence[Filters],
        proposal: Proposal,
        *,
        slack: float,
        most: int | None,
    ) -> Mask:
        """Return which candidates some fold would let pass, its strongest ones, [feature 1]."""
        found = np.zeros((len(self.features), 1), dtype=bool)
        for fold, proposed, own in zip(folds, proposal.by_fold, filters, strict=True):
            gap = self._experiment.gap(fold.discovery)
            gains: dict[int, float] = {}
            for feature in proposed:
                at = self.features.index(feature)
                contribution = self.contributions[at]
                weights = self.gap_weights(at, fold.discovery)
                gain = float(np.sign(gap) * (weights @ np.nan_to_num(contribution)))
                if own.reason(feature, gain, contribution, slack=slack) is None:
                    gains[at] = gain
            found[sorted(gains, key=lambda at: -gains[at])[:most]] = True
        return found
