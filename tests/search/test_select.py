"""Selection: rows are spared where they cannot matter, and nothing else changes."""

from __future__ import annotations

import importlib
from dataclasses import replace

import numpy as np
import pytest

from pm_audit.interventions.ablation import ablate_each
from pm_audit.records import Role
from pm_audit.search.filters import Dropped
from pm_audit.search.propose import propose
from pm_audit.search.select import select
from tests.search.conftest import method

# the package names its function like the module
module = importlib.import_module("pm_audit.search.select")
singles = importlib.import_module("pm_audit.search.singles")


@pytest.fixture(scope="module")
def proposal(planting):
    return propose(planting.experiment, planting.folds, method=method())


def search(planting, proposal):
    return select(planting.experiment, planting.folds, proposal, method=method())


def test_the_planted_features_are_selected_in_every_fold(planting, proposal):
    found = search(planting, proposal)
    for one in found.folds:
        assert {planting.latent_of["!"], planting.latent_of["~"]} <= {
            feature.index for feature in one.growth.selected
        }
    assert set(found.dropped.values()) <= set(Dropped)


def test_contributions_are_single_ablations_of_every_weighed_row(planting, proposal):
    found = search(planting, proposal)
    latents = [feature.index for feature in found.features]
    sae = planting.trace.saes[0]
    real = ablate_each(planting.trace, sae, latents)
    real = real.dense(latents, np.arange(len(planting.trace.grid)))
    weighed = ~planting.contrast.has_role(Role.CONTROL)
    for fold, proposed in zip(planting.folds, proposal.by_fold, strict=True):
        own = np.flatnonzero(planting.contrast.of_prompts(fold.discovery) & weighed)
        at = [found.features.index(feature) for feature in proposed]
        assert not np.isnan(found.contributions[np.ix_(at, own)]).any()
    run = ~np.isnan(found.contributions)
    np.testing.assert_allclose(found.contributions[run], real[run], atol=1e-5)


def test_what_one_fold_proposed_is_not_run_on_what_the_other_saw(planting, proposal, monkeypatch):
    monkeypatch.setattr(singles, "OTHERS_SHOWN", 0)
    first, second = proposal.by_fold
    only = next(feature for feature in first if planting.latent_of["*"] == feature.index)
    halved = replace(proposal, by_fold=(first, tuple(one for one in second if one != only)))
    found = search(planting, halved)
    run = ~np.isnan(found.contribution(only))
    weighed = ~planting.contrast.has_role(Role.CONTROL)
    seen = planting.contrast.of_prompts(planting.folds[0].discovery) & weighed
    # it moves counter-examples, so the first sample of the one fold's prompts is all that it gets
    np.testing.assert_array_equal(run, seen & planting.contrast.one_of_each())
    assert only not in found.features_run
    assert [one.growth for one in found.folds] == [
        one.growth for one in search(planting, proposal).folds
    ]


def test_only_the_strongest_are_run_beyond_the_first_sample(planting, proposal, monkeypatch):
    monkeypatch.setattr(singles, "OTHERS_SHOWN", 0)
    monkeypatch.setattr(module, "SCREENED", 0)
    found = search(planting, proposal)
    assert all(one.growth.selected == () for one in found.folds)
    planted = {planting.latent_of["!"], planting.latent_of["~"]}
    weaker = {one.index for one, why in found.dropped.items() if why is Dropped.WEAKER}
    assert planted <= weaker


def test_sparing_rows_changes_no_selection_and_no_reason(planting, proposal, monkeypatch):
    monkeypatch.setattr(singles, "OTHERS_SHOWN", 0)
    spared = search(planting, proposal)
    # the reference runs every candidate on every row before anything is judged
    monkeypatch.setattr(singles, "OTHERS_SHOWN", len(spared.features))
    monkeypatch.setattr(singles, "SLACK", 1.0)
    monkeypatch.setattr(module, "SCREENED", 100)
    everything = np.ones(len(planting.trace.grid), dtype=bool)
    monkeypatch.setattr(type(planting.contrast), "one_of_each", lambda _: everything)
    full = search(planting, proposal)
    controls = planting.contrast.has_role(Role.CONTROL)
    assert np.isnan(spared.contributions[:, controls]).any()
    assert not np.isnan(full.contributions).any()
    assert spared.dropped == full.dropped
    for one, other in zip(spared.folds, full.folds, strict=True):
        assert one.growth.selected == other.growth.selected
        assert one.growth.closures == pytest.approx(other.growth.closures, abs=1e-5)
    ruled_out = [feature for feature in spared.features if feature in spared.dropped]
    in_question = [feature for feature in spared.features if feature not in spared.dropped]
    assert ruled_out
    assert not np.isnan([spared.contribution(feature) for feature in in_question]).any()


def test_growth_runs_no_single_ablation_again(planting, proposal, monkeypatch):
    asked: list[int] = []
    original = module.ablate_sets

    def counted(clean, sets, *, rows, cache):
        before = len(cache.rewards)
        found = original(clean, sets, rows=rows, cache=cache)
        if all(len(one) == 1 for one in sets):
            asked.append(len(cache.rewards) - before)
        return found

    monkeypatch.setattr(module, "ablate_sets", counted)
    search(planting, proposal)
    assert asked
    assert not any(asked)
