"""Selection: the planted set, from nothing but what a search sees."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pm_audit.interventions.ablation import ablate_sets
from pm_audit.records import Role
from pm_audit.search.folds import Fold, by_phrasing
from pm_audit.search.select import Selector
from pm_audit.spec import SearchMode, SetSearch
from tests.search.conftest import parted, phrased, planting_of

WAYS = list(SetSearch)


@pytest.mark.parametrize("way", WAYS)
def test_the_planted_set_is_selected_by_every_fold(model, way):
    planted = planting_of(model, phrased("!~", "~!", counter_examples=["**", ";*"]))
    selector = planted.selector(set_search=way, max_features=10)
    for fold in planted.folds:
        found = selector.select(fold)
        assert set(found.selected) == set(planted.features("!~*"))
        assert set(found.selected) <= set(found.candidates)
        # what is left of the gap by all that was replaced, on the prompts that were seen
        seen = planted.contrast.weights(fold.discovery)
        after = ablate_sets(planted.trace, [found.selected], targets=planted.targets)[0]
        assert seen @ after / (seen @ planted.trace.rewards) == pytest.approx(0.0, abs=1e-4)
        assert max(found.growth.closures) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("way", WAYS)
def test_a_set_over_two_saes_is_selected(model, way):
    saes = parted(model, "!", "~*+^=&%")
    split = planting_of(model, phrased("!~", counter_examples=["**"]), saes)
    found = split.selector(set_search=way).select(split.folds[0])
    assert set(found.selected) == {*split.features("!", "part-0"), *split.features("~*", "part-1")}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("most", [1, 2])
def test_the_set_is_never_larger_than_the_method_allows(planting, way, most):
    found = planting.selector(set_search=way, max_features=most).select(planting.folds[0])
    assert 0 < len(found.selected) <= most
    assert len(found.candidates) <= 8


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("phrasing", [False, True])
def test_what_a_search_does_not_see_changes_nothing(model, way, phrasing):
    seen = planting_of(model, phrased("!;", "~;", counter_examples=["*;", ";*"]))
    fold = (by_phrasing(seen.contrast, seen.folds) if phrasing else seen.folds)[0]
    rewards = seen.trace.rewards.copy()
    rewards[~fold.sees(seen.contrast)] -= np.arange(float((~fold.sees(seen.contrast)).sum()))
    other = seen.with_rewards(rewards)
    proposal = seen.proposal()
    before, after = (
        one.selector(replace(proposal, experiment=one.experiment), set_search=way).select(fold)
        for one in (seen, other)
    )
    assert before.growth == after.growth
    assert before.candidates == after.candidates
    assert set(before.selected) == set(seen.features("~*" if phrasing else "!~*"))


@pytest.mark.parametrize("way", WAYS)
def test_without_a_gap_nothing_is_searched_for(planting, way):
    flat = planting.with_rewards(np.ones_like(planting.trace.rewards))
    found = flat.selector(planting.proposal(), set_search=way).select(flat.folds[0])
    assert found.selected == found.candidates == found.growth.closures == ()
    assert found.agreement.sign_agreement is None


def test_measured_candidates_replace_attributions(planting):
    attributed = planting.selector()
    assert attributed.measured is None
    assert attributed.sweeps(planting.folds) == ()
    exhaustive = planting.selector(search=SearchMode.EXHAUSTIVE)
    searches = [exhaustive.select(fold) for fold in planting.folds]
    assert [one.fold for one in exhaustive.sweeps(planting.folds)] == [0, 1]
    for one in searches:
        assert set(one.selected) >= set(planting.features("!"))


def test_searches_share_their_replays(planting, monkeypatch):
    selector = planting.selector()
    first = selector.select(planting.folds[0])
    known = dict(selector.cache.rewards)
    again = selector.select(planting.folds[0])
    assert selector.cache.rewards == known
    assert again.selected == first.selected


def test_controls_and_counter_examples_are_seen_by_the_penalty(planting):
    """A set that moves a control is left where the penalty outweighs what it closes."""
    fold = planting.folds[0]
    free = planting.selector(collateral_penalty=0, max_features=10).select(fold)
    strict = planting.selector(collateral_penalty=100, max_features=10).select(fold)
    assert strict.growth.collaterals[-1] < free.growth.collaterals[-1]
    assert abs(1 - strict.growth.closures[-1]) >= abs(1 - free.growth.closures[-1])
    assert planting.contrast.has_role(Role.CONTROL).any()


def test_a_single_prompt_is_searched_and_tested_alike(planting):
    found = planting.selector().select(Fold((0,), (0,)))
    assert isinstance(planting.selector(), Selector)
    assert set(found.selected) >= set(planting.features("!"))
