"""Selection: each fold's set, chosen among its candidates by joint ablation.

The same search runs for the folds of prompts, for the folds that leave out a phrasing too, and on
halves of the prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from pm_audit.forward.contrast import Floats, Integers
from pm_audit.forward.experiment import Experiment
from pm_audit.forward.targets import Targets
from pm_audit.interventions.ablation import ablate_sets
from pm_audit.interventions.growth import Growth, Members, grow
from pm_audit.interventions.objective import Objective
from pm_audit.interventions.replay_cache import ReplayCache
from pm_audit.records import Feature, MethodRecord, SweepEvidence
from pm_audit.search.folds import Fold
from pm_audit.search.mask import learn_mask
from pm_audit.search.measured import Measured
from pm_audit.search.propose import Proposal
from pm_audit.spec import SearchMode, SetSearch
from pm_audit.stats.agreement import Agreement, agreement

TRIALS = 2
"""Moves of growth that are tried before the best is made."""


@dataclass(frozen=True, eq=False)
class FoldSearch:
    """One fold's set, and how well attribution had predicted the ablations."""

    fold: Fold
    candidates: tuple[Feature, ...]
    selected: tuple[Feature, ...]
    growth: Growth
    agreement: Agreement


@dataclass(frozen=True, eq=False)
class Selector:
    """Searches one trace for sets, with one replacement; the searches share their replays."""

    experiment: Experiment
    proposal: Proposal
    measured: Measured | None
    """Proposes the candidates by single ablations; None if attribution does."""
    method: MethodRecord
    cache: ReplayCache = field(default_factory=ReplayCache)

    @classmethod
    def of(
        cls, experiment: Experiment, proposal: Proposal, *, method: MethodRecord, searches: int
    ) -> Selector:
        """Return what the method chooses candidates by; ``searches`` share its budget."""
        by_attribution = method.search == SearchMode.ATTRIBUTION
        measured = None if by_attribution else Measured(proposal, method, searches)
        return cls(experiment, proposal, measured, method)

    def candidates(self, fold: Fold) -> tuple[Feature, ...]:
        """Return the features to try on what a fold's search sees."""
        if self.measured is not None:
            return self.measured.candidates(fold)
        return self.proposal.candidates(fold, most=self.method.candidates)

    def sweeps(self, folds: Sequence[Fold]) -> tuple[SweepEvidence, ...]:
        """Return what was measured to find candidates; empty if attribution proposed them."""
        return () if self.measured is None else self.measured.evidence(folds)

    @property
    def targets(self) -> Targets:
        """What stands in the features' place."""
        return self.proposal.targets

    def select(self, fold: Fold) -> FoldSearch:
        """Return the set of one fold."""
        sees = fold.sees(self.experiment.contrast)
        objective = Objective.of(
            self.experiment, fold.discovery, sees, penalty=self.method.collateral_penalty
        )
        candidates = self.candidates(fold) if objective.gap else ()
        growth = self._searched(objective, candidates) if candidates else Growth((), (), (), ())
        predicted, measured = np.array(growth.trials).reshape(-1, 2).T
        return FoldSearch(
            fold=fold,
            candidates=candidates,
            selected=tuple(candidates[one] for one in growth.selected),
            growth=growth,
            agreement=agreement(predicted, measured),
        )

    def _searched(self, objective: Objective, candidates: Sequence[Feature]) -> Growth:
        method, trace = self.method, self.experiment.trace
        targets, most = self.targets, method.max_features
        if method.set_search == SetSearch.MASK:
            return learn_mask(trace, objective, candidates, targets, most=most)

        def replay(sets: Sequence[Members], at: Integers) -> Floats:
            features = [tuple(candidates[one] for one in members) for members in sets]
            rows = objective.rows[at]
            return ablate_sets(trace, features, rows=rows, targets=targets, cache=self.cache)

        predicted = self.proposal.attributed(candidates, objective.rows)
        return grow(objective, predicted, replay, most=most, trials=TRIALS)
