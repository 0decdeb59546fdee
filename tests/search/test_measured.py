"""Candidates by measurement: nothing hides from an exhaustive search, and a budget is kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_array

from pm_audit.forward.experiment import Experiment
from pm_audit.pipelines.audit import Auditor
from pm_audit.records import Role, SweepEvidence
from pm_audit.search.measured import measure
from pm_audit.search.propose import Proposal, propose
from pm_audit.spec import Effect, SearchMode, Settings
from recipes.planted.hypothesis import marks_hypothesis
from recipes.planted.linear import plant
from tests.search.conftest import method


def blind(planting) -> Proposal:
    """Return a proposal whose scores say nothing of the planted marks."""
    proposal = propose(planting.experiment, planting.folds, method=method())
    hidden = [planting.latent_of[mark] for mark in "!~"]

    def without(table: csr_array) -> csr_array:
        dense = table.toarray()
        dense[hidden] = 0
        return csr_array(dense)

    scores = tuple(
        replace(one, atp=without(one.atp), integrated=without(one.integrated))
        for one in proposal.scores
    )
    seen = tuple(
        tuple(feature for feature in fold if feature.index not in hidden)
        for fold in proposal.by_fold
    )
    return Proposal(scores, seen, proposal.rare)


def measured(planting, proposal, **changed) -> Proposal:
    return measure(
        planting.experiment,
        planting.folds,
        proposal,
        method=method(**changed),
    )


def test_an_exhaustive_search_finds_what_attribution_missed(planting):
    proposal = blind(planting)
    found = measured(planting, proposal, search=SearchMode.EXHAUSTIVE)
    for fold in found.by_fold:
        assert [feature.index for feature in fold[:2]] == [
            planting.latent_of["!"],
            planting.latent_of["~"],
        ]
    for sweep in found.sweeps:
        assert sweep.measured == sweep.active > 2
        assert sweep.predicted is not None
        assert sweep.predicted < 1
        assert sweep.missed_largest is None
    assert [sweep.fold for sweep in found.sweeps] == [0, 1]


def test_a_budget_is_kept_and_bounds_what_it_left(planting):
    proposal = propose(planting.experiment, planting.folds, method=method())
    found = measured(planting, proposal, search=SearchMode.BUDGET, budget_count=3)
    for sweep, fold in zip(found.sweeps, found.by_fold, strict=True):
        assert sweep.measured == 3 < sweep.active
        assert len(fold) <= 3
        assert sweep.predicted == 1
        assert sweep.missed_confidence == 0.95
        assert sweep.missed_largest is not None
        assert sweep.missed_largest >= 0


def test_a_spent_time_ablates_nothing_more(planting):
    proposal = propose(planting.experiment, planting.folds, method=method())
    found = measured(
        planting, proposal, search=SearchMode.BUDGET, budget_count=100, budget_seconds=1e-9
    )
    assert [sweep.measured for sweep in found.sweeps] == [0, 0]
    assert all(not fold for fold in found.by_fold)


def test_a_fold_measures_on_its_own_prompts_alone(planting):
    proposal = blind(planting)
    before = measured(planting, proposal, search=SearchMode.EXHAUSTIVE)
    fold = planting.folds[0]
    tampered = planting.trace.rewards.copy()
    tampered[planting.contrast.of_prompts(fold.held_out)] += 5.0
    other = replace(planting.trace, rewards=tampered)
    changed = replace(planting, experiment=Experiment(other, planting.contrast))
    after = measured(changed, proposal, search=SearchMode.EXHAUSTIVE)
    assert after.by_fold[0] == before.by_fold[0]


@pytest.mark.parametrize("mode", list(SearchMode))
def test_an_audit_says_how_its_candidates_were_found(mode):
    model = plant({"!": 0.4}, seed=1)
    settings = Settings(
        search=mode,
        budget_count=4,
        extra_scores=mode is SearchMode.ATTRIBUTION,
        candidates=16,
        null_sets=2,
        bootstrap_resamples=100,
    )
    auditor = Auditor(settings, subject=(model.pm, (model.sae,)))
    record = auditor.audit(marks_hypothesis("!", effect=Effect.RAISES, prompts=10))
    assert auditor.method.search == mode
    assert auditor.method.budget_count == (4 if mode is SearchMode.BUDGET else None)
    assert model.latent_of["!"] in {
        feature.index for fold in record.evidence.folds for feature in fold.selected
    }
    sweeps = record.evidence.sweeps
    assert all(isinstance(sweep, SweepEvidence) for sweep in sweeps)
    assert len(sweeps) == (0 if mode is SearchMode.ATTRIBUTION else 2)
    assert record.digest == record.computed_digest()


def test_extra_scores_propose_what_the_others_pass_over(planting):
    plain = propose(planting.experiment, planting.folds, method=method(candidates=8))
    extra = propose(
        planting.experiment,
        planting.folds,
        method=method(candidates=8, extra_scores=True),
    )
    assert plain.scores[0].per_feature is None
    alone, dropped = extra.scores[0].per_feature, extra.scores[0].dropped
    assert alone is not None
    assert dropped is not None
    assert dropped.toarray().min() >= 0
    assert not alone.toarray()[:, planting.contrast.has_role(Role.CONTROL)].any()
    # on a planted model the reward is nearly linear, so one path agrees with the joint one
    rows = np.flatnonzero(~planting.contrast.has_role(Role.CONTROL))
    taken = np.unique(alone.nonzero()[0])
    joint = extra.scores[0].integrated.toarray()[taken][:, rows]
    np.testing.assert_allclose(alone.toarray()[taken][:, rows], joint, rtol=0.2, atol=1e-3)
