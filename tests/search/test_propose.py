"""Candidates are the features of greatest attribution to the gap that a search sees."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.sparse import csr_array

from pm_audit.forward.contrast import Contrast
from pm_audit.forward.experiment import Experiment
from pm_audit.interventions.ablation import ablate_each
from pm_audit.records import Role
from pm_audit.search.folds import Fold
from pm_audit.search.propose import AGAINST_PART, EXTRA_PART, Proposal, SaeScores
from recipes.planted.linear import MARKS
from tests.search.conftest import parted, phrased, planting_of

FOLD = Fold(discovery=(0, 1), held_out=(2, 3))
ROLES = [Role.EXAMPLE, Role.EXAMPLE, Role.COUNTER_EXAMPLE] * 4
CONTRAST = Contrast(np.repeat(np.arange(4), 3), ROLES, np.array([0, 1, 0] * 4))


def scores(name: str, *latents: tuple[float, float, float], **more) -> SaeScores:
    """Return attributions to an example of either phrasing and to a counter-example."""
    return SaeScores(
        sae=SimpleNamespace(name=name, layer=0, width=len(latents)),
        attributed=csr_array(np.tile(latents, 4)),
        completeness_gap=np.zeros(12),
        change=np.ones(12),
        **more,
    )


def proposal(*tables: SaeScores, gap: float = 1.0) -> Proposal:
    rewards = np.array([gap, gap, 0.0] * 4)
    return Proposal(Experiment(SimpleNamespace(rewards=rewards), CONTRAST), tables, {})


def names(found) -> list[str]:
    return [f"{one.sae}/{one.index}" for one in found]


def test_the_best_of_all_saes_come_first_by_their_share_in_the_gap():
    one = scores("a", (1.0, 1.0, 0.0), (4.0, 4.0, 3.5), (-9.0, -9.0, 0.0), (0.0, 0.0, 0.0))
    other = scores("b", (0.7, 0.7, 0.0), (3.0, 1.0, 0.0), (1.0, 1.0, 1.0))
    found = proposal(one, other).candidates(FOLD, most=9)
    # 1/1 is active on both sides and counts by its difference; no effect is no candidate; the last
    # works against the gap
    assert names(found) == ["b/1", "a/0", "b/0", "a/1", "a/2"]
    assert names(proposal(one, other).candidates(FOLD, most=2)) == ["b/1", "a/0"]


def test_a_gap_that_lowers_the_reward_is_carried_by_negative_attributions():
    table = scores("a", (1.0, 1.0, 0.0), (-2.0, -2.0, 0.0), (0.0, 0.0, 0.3))
    assert names(proposal(table, gap=-1.0).candidates(FOLD, most=9)) == ["a/1", "a/2", "a/0"]


def test_what_a_search_does_not_see_proposes_nothing():
    table = scores("a", (1.0, 1.0, 0.0), (0.5, 0.5, 0.0), (0.0, 0.0, 0.0))
    dense = table.attributed.toarray()
    dense[2, CONTRAST.of_prompts([2, 3])] = 100.0
    dense[1, CONTRAST.has_role(Role.EXAMPLE) & (CONTRAST.variant == 1)] = 100.0
    tampered = proposal(replace(table, attributed=csr_array(dense)))
    assert names(tampered.candidates(FOLD, most=9)) == ["a/1", "a/0"]
    without = Fold(FOLD.discovery, FOLD.held_out, without=1)
    assert names(tampered.candidates(without, most=9)) == ["a/0", "a/1"]


def test_extra_scores_have_places_of_their_own():
    most = 2 * EXTRA_PART
    strong = [(one, one, 0.0) for one in np.arange(1.0, most + 1)]
    passed_over = [(0.0, 0.0, 0.0)] * 3
    extra = np.zeros((len(strong) + 3, 12))
    extra[-3:] = np.array([[3.0], [1.0], [2.0]]) * CONTRAST.has_role(Role.EXAMPLE)
    table = scores("a", *strong, *passed_over)
    alone = replace(table, per_feature=csr_array(extra))
    expected = [f"a/{at}" for at in range(most - 1, -1, -1)]
    assert names(proposal(table).candidates(FOLD, most=most)) == expected
    # one in eight each: the two best by the extra score, then the best of all the others
    found = names(proposal(alone).candidates(FOLD, most=most))
    assert found == [f"a/{most}", f"a/{most + 2}", *expected[:-2]]
    # GradDrop's sizes count for a gap of either sign, per-feature attributions for their own
    dropped = replace(table, dropped=csr_array(extra), per_feature=csr_array(-extra))
    found = names(proposal(dropped, gap=-1.0).candidates(FOLD, most=most))
    against = expected[: most // AGAINST_PART]
    assert found == [f"a/{most}", f"a/{most + 2}", *against]


def test_on_a_planted_model_attributions_are_the_real_effects(planting):
    found = planting.proposal(extra_scores=True)
    (own,) = found.scores
    examples, latents = planting.experiment.rows(Role.EXAMPLE), np.arange(own.sae.width)
    real = ablate_each(planting.trace, own.sae, latents, targets=planting.targets)
    real = real.dense(latents, examples)
    np.testing.assert_allclose(own.attributed.toarray()[:, examples], real, atol=1e-4)
    assert found.completeness(examples) < 1e-4
    some = found.attributed(planting.features("~!"), examples[[5, 0]])
    planted = [one.index for one in planting.features("~!")]
    np.testing.assert_allclose(some, real[planted][:, [5, 0]], atol=1e-4)
    # the decoy fires with every mark and weighs nothing
    proposed = [one.index for one in found.candidates(planting.folds[0], most=8)]
    assert len(MARKS) not in proposed
    assert set(planted) <= set(proposed)
    # where effects add up, one feature's path gives what the joint path gives
    alone = own.per_feature.toarray()
    taken = np.unique(own.per_feature.nonzero()[0])
    assert len(taken)
    np.testing.assert_allclose(alone[taken][:, examples], real[taken], atol=1e-4)
    assert not alone[:, planting.contrast.has_role(Role.CONTROL)].any()
    assert own.dropped.toarray().min() >= 0
    assert planting.proposal().scores[0].per_feature is None


def test_candidates_of_two_saes_are_ranked_together(model):
    saes = parted(model, "!", "~*+^=&%")
    split = planting_of(model, phrased("!~", counter_examples=["**"]), saes)
    found = split.proposal().candidates(split.folds[0], most=3)
    assert found[:1] == split.features("!", "part-0")
    assert set(found[1:]) == set(split.features("~*", "part-1"))


@pytest.mark.parametrize("most", [1, 3])
def test_no_more_candidates_than_the_method_has(planting, most):
    assert len(planting.proposal().candidates(planting.folds[0], most=most)) == most
