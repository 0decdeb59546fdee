"""The test of each fold's set on other prompts, against interventions run one by one."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from pm_audit.forward.edits import edit_sizes
from pm_audit.interventions.ablation import ablate_sets
from pm_audit.interventions.growth import Growth
from pm_audit.interventions.reconstruction import replace_all
from pm_audit.interventions.replacements import mean_features, replacement
from pm_audit.interventions.replay_cache import ReplayCache
from pm_audit.records import Feature, Role
from pm_audit.search.folds import Fold, by_phrasing
from pm_audit.search.held_out import MATCHES, _matched_set, transfer
from pm_audit.search.held_out import test_sets as run_sets
from pm_audit.search.select import FoldSearch
from pm_audit.stats.agreement import Agreement
from tests.search.conftest import Planting, method, parted, phrased, planting_of

# the package names its function like a test
module = importlib.import_module("pm_audit.search.held_out")


def found(fold: Fold, *selected: Feature) -> FoldSearch:
    return FoldSearch(fold, selected, selected, Growth((), (), (), ()), Agreement(None, None))


@pytest.fixture(scope="module", params=[1, 2])
def planted(request, model) -> Planting:
    parts = parted(model, "!", "~*+^=&%") if request.param == 2 else [model.sae]
    return planting_of(model, phrased("!~", "~!", counter_examples=["**", "*;"]), parts)


@pytest.fixture(scope="module")
def searches(planted) -> list[FoldSearch]:
    """Return folds whose sets differ; of two SAEs the second one's set spans both."""
    first, last = (sae.name for sae in (planted.trace.saes[0], planted.trace.saes[-1]))
    one, other = planted.folds
    return [
        found(one, *planted.features("!", first)),
        found(other, *planted.features("!", first), *planted.features("*", last)),
    ]


def run(planted, searches, **changed):
    return run_sets(
        planted.experiment, searches, planted.targets, ReplayCache(), method=method(**changed)
    )


def spliced(planted, searches, rewards_of) -> np.ndarray:
    """Return rewards [row], each prompt's from the search that held it out."""
    rewards = planted.trace.rewards.copy()
    for one in searches:
        rows = planted.experiment.rows_of(one.fold.held_out)
        rewards[rows] = rewards_of(one)[rows]
    return rewards


def test_each_prompt_is_tested_with_the_set_of_the_search_that_did_not_see_it(planted, searches):
    def alone(one):
        return ablate_sets(planted.trace, [one.selected], targets=planted.targets)[0]

    held_out = run(planted, searches)
    np.testing.assert_allclose(held_out.ablated, spliced(planted, searches, alone), atol=1e-5)


def test_every_other_replacement_is_run_alongside(planted, searches):
    held_out = run(planted, searches, replacement="zero")
    assert [one.replacement for one in held_out.alongside] == ["contrast", "mean", "resample"]
    weighed = ~planted.contrast.has_role(Role.CONTROL)
    for name, targets_of in {
        "contrast": lambda _: planted.targets,
        "mean": lambda counters: mean_features(planted.trace, counters),
        "resample": lambda counters: replacement("resample").targets(planted.experiment, counters),
    }.items():

        def replaced(one, targets_of=targets_of):
            counters = planted.experiment.rows(Role.COUNTER_EXAMPLE, prompts=one.fold.discovery)
            return ablate_sets(planted.trace, [one.selected], targets=targets_of(counters))[0]

        (own,) = (one.rewards for one in held_out.alongside if one.replacement == name)
        expected = np.where(weighed, spliced(planted, searches, replaced), planted.trace.rewards)
        np.testing.assert_allclose(own, expected, atol=1e-5)


def test_stages_replace_more_and_more_of_each_sae_and_of_all(planted, searches):
    stages = run(planted, searches).stages
    saes = planted.trace.saes
    assert [one.sae for one in stages] == [None, *(sae.name for sae in saes if len(saes) > 1)]
    assert [one.layer for one in stages] == [None, *(sae.layer for sae in saes if len(saes) > 1)]
    for stage in stages:
        group = [sae for sae in saes if stage.sae in (None, sae.name)]
        parts = {
            "others": {"but": True},
            "features": {},
            "stream": {"error": True},
            "error": {"features": False, "error": True},
        }
        for name, settings in parts.items():

            def replaced(one, settings=settings, group=group):
                own = [f for f in one.selected if f.sae in {sae.name for sae in group}]
                given = settings | ({"but": own} if "but" in settings else {})
                return replace_all(planted.trace, group, planted.targets, **given)

            expected = spliced(planted, searches, replaced)
            np.testing.assert_allclose(getattr(stage, name), expected, atol=1e-4)

        def selected(one, group=group):
            own = [f for f in one.selected if f.sae in {sae.name for sae in group}]
            return ablate_sets(planted.trace, [own], targets=planted.targets)[0]

        np.testing.assert_allclose(stage.selected, spliced(planted, searches, selected), atol=1e-4)


def test_a_random_set_is_tested_on_one_pair_of_each_prompt(planted, searches, monkeypatch):
    last = planted.trace.saes[-1].name
    monkeypatch.setattr(module, "_matched_set", lambda *_: planted.features("*", last))
    held_out = run(planted, searches, null_sets=3)
    after = ablate_sets(planted.trace, [planted.features("*", last)], targets=planted.targets)[0]
    contrast, sample = planted.contrast, planted.contrast.one_of_each()
    change = contrast.gap_by_prompt(after - planted.trace.rewards, among=sample)
    expected = contrast.gap_by_prompt(planted.trace.rewards) + change
    assert np.abs(change).max() > 0.1
    assert len(held_out.null) == 3
    for one in held_out.null:
        np.testing.assert_allclose(one.gap, expected, atol=1e-5)


def test_random_sets_match_the_selected_one_in_number_sae_and_size_of_edit(planted):
    examples, saes = planted.experiment.rows(Role.EXAMPLE), planted.trace.saes
    sizes = {sae.name: edit_sizes(planted.trace, sae, examples, planted.targets) for sae in saes}
    last = saes[-1].name
    selected = [*planted.features("!", saes[0].name), *planted.features("~*", last)]
    seen = set()
    for seed in range(40):
        drawn = _matched_set(planted.trace, sizes, selected, np.random.default_rng(seed))
        assert len(set(drawn)) == len(drawn)
        assert not set(drawn) & set(selected)
        for sae in saes:
            own = [one for one in drawn if one.sae == sae.name]
            size, chosen = sizes[sae.name], [one for one in selected if one.sae == sae.name]
            free = np.flatnonzero(size > 0)
            free = free[~np.isin(free, [one.index for one in chosen])]
            assert len(own) == min(len(chosen), len(free))
            for one, like in zip(own, chosen, strict=False):
                distance = np.abs(np.log(size[free]) - np.log(size[like.index]))
                nearest = free[np.argsort(distance, kind="stable")]
                # those that were drawn before leave the pool
                assert one.index in nearest[: MATCHES + len(own) - 1]
        seen.add(drawn)
    assert len(seen) > 1


def test_the_seed_decides_the_random_sets(planted, searches):
    once, again, other = (run(planted, searches, seed=seed).null for seed in (0, 0, 1))
    assert once == again != other


def test_a_phrasing_is_tested_with_the_set_of_the_search_without_it(model):
    planted = planting_of(model, phrased("!;", "~;", counter_examples=[";;"]))
    folds = by_phrasing(planted.contrast, planted.folds)
    searches = [found(fold, *planted.features("!")) for fold in folds]
    shared = transfer(planted.experiment, searches, planted.targets, ReplayCache())
    assert [one.phrasing for one in shared] == [0, 1]
    for one, fold in zip(shared, folds, strict=True):
        assert one.prompts == fold.held_out
        assert one.selected == planted.features("!")
        examples = planted.contrast.has_role(Role.EXAMPLE)
        own = examples & (planted.contrast.variant == one.phrasing)
        for prompt, gap, after in zip(one.prompts, one.gap, one.gap_after, strict=True):
            (row,) = np.flatnonzero(own & (planted.contrast.prompt == prompt))
            (counter,) = planted.experiment.rows(Role.COUNTER_EXAMPLE, prompts=[prompt])
            expected = planted.trace.rewards[row] - planted.trace.rewards[counter]
            assert gap == pytest.approx(expected, abs=1e-5)
            # the mark is in the first phrasing alone
            assert after == pytest.approx(0.0 if one.phrasing == 0 else gap, abs=1e-4)
