"""Candidates by measurement: nothing hides from an exhaustive search, and a budget is kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_array

from pm_audit.interventions.ablation import ablate_each
from pm_audit.records import Role
from pm_audit.search.folds import by_phrasing
from pm_audit.search.measured import Measured
from pm_audit.search.propose import Proposal
from pm_audit.spec import SearchMode
from tests.search.conftest import Planting, method, parted, phrased, planting_of


def blind(planting: Planting) -> Proposal:
    """Return a proposal whose attributions say nothing of the planted marks."""
    proposal = planting.proposal()
    hidden = [one.index for one in planting.features("!~")]
    (own,) = proposal.scores
    dense = own.attributed.toarray()
    dense[hidden] = 0
    return replace(proposal, scores=(replace(own, attributed=csr_array(dense)),))


def measured(proposal: Proposal, *, searches: int = 2, **changed: object) -> Measured:
    return Measured(proposal, method(**changed), searches)


def test_an_exhaustive_search_finds_what_attribution_missed(planting):
    search = measured(blind(planting), search=SearchMode.EXHAUSTIVE)
    for fold in planting.folds:
        first, *others = search.candidates(fold)[:3]
        assert first == planting.features("!")[0]
        assert set(others) == set(planting.features("~*"))
    found = search.evidence(planting.folds)
    assert [one.fold for one in found] == [0, 1]
    for sweep in found:
        assert sweep.measured == sweep.active > 2
        assert sweep.predicted is not None
        assert sweep.predicted < 1
        assert sweep.missed_largest is None


def test_candidates_are_the_largest_real_effects_in_the_gaps_direction(planting):
    search = measured(planting.proposal(), search=SearchMode.EXHAUSTIVE)
    (fold, _), (sae,) = planting.folds, planting.trace.saes
    everything = np.arange(sae.width)
    effects = ablate_each(planting.trace, sae, everything, targets=planting.targets)
    effect = effects.weighted(everything, planting.contrast.weights(fold.discovery))
    best = [int(one) for one in np.argsort(-effect) if effect[one] > 1e-4]
    assert best
    assert [one.index for one in search.candidates(fold)][: len(best)] == best


def test_a_budget_is_kept_and_bounds_what_it_left(planting):
    search = measured(planting.proposal(), search=SearchMode.BUDGET, budget_count=3)
    assert all(len(search.candidates(fold)) <= 3 for fold in planting.folds)
    for sweep in search.evidence(planting.folds):
        assert sweep.measured == 3 < sweep.active
        assert sweep.predicted == 1
        assert sweep.missed_confidence == 0.95
        assert sweep.missed_largest is not None
        assert sweep.missed_largest >= 0


def test_a_spent_time_ablates_nothing_more(planting):
    search = measured(
        planting.proposal(), search=SearchMode.BUDGET, budget_count=100, budget_seconds=1e-9
    )
    assert [search.candidates(fold) for fold in planting.folds] == [(), ()]
    assert [sweep.measured for sweep in search.evidence(planting.folds)] == [0, 0]


def test_the_saes_are_swept_one_by_one_and_ranked_together(model):
    saes = parted(model, "!", "~*+^=&%")
    split = planting_of(model, phrased("!~", counter_examples=["**"]), saes)
    search = measured(split.proposal(), search=SearchMode.EXHAUSTIVE, candidates=3)
    first = search.candidates(split.folds[0])
    assert first[0] == split.features("!", "part-0")[0]
    assert set(first[1:]) == set(split.features("~*", "part-1"))
    assert [one.sae for one in search.evidence(split.folds)] == ["part-0", "part-1"]


@pytest.mark.parametrize("phrasing", [False, True])
def test_a_search_measures_on_what_it_sees_alone(model, phrasing):
    seen = planting_of(model, phrased("!;", "~;", counter_examples=[";;"]))
    fold = (by_phrasing(seen.contrast, seen.folds) if phrasing else seen.folds)[0]
    sees = fold.sees(seen.contrast)
    # the gap that the search does not see has the other sign, and far more size
    rewards = seen.trace.rewards.copy()
    rewards[~sees & seen.contrast.has_role(Role.EXAMPLE)] -= 100.0
    other = seen.with_rewards(rewards)
    found = [
        measured(replace(one.proposal(), experiment=one.experiment), search=SearchMode.EXHAUSTIVE)
        for one in (seen, other)
    ]
    before, after = (search.candidates(fold) for search in found)
    assert before == after
    marks = "~" if phrasing else "!~"
    assert set(before[: len(marks)]) == set(seen.features(marks))
