"""Sweeps: exhaustive leaves nothing out, a budget bounds what it left."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pm_audit.forward.trace import trace
from pm_audit.interventions.ablation import ablate_each
from pm_audit.interventions.ablation_sweep import Budget, changing_latents, sweep
from pm_audit.interventions.replacements import contrast_features


@pytest.fixture(scope="module")
def traced(lab, llama):
    sae = lab.sae(1)
    sae.b_enc[[4, 20]] = -100.0  # two latents that never fire
    return sae, trace(llama, [sae], lab.grid())


@pytest.fixture(scope="module")
def weights():
    return np.array([0.25] * 4 + [0.0] * 4 + [-0.25] * 4)


@pytest.fixture(scope="module")
def truth(llama, traced, weights):
    sae, clean = traced
    return ablate_each(clean, sae, np.arange(64)).dense(np.arange(64), np.arange(12)) @ weights


def test_an_exhaustive_sweep_measures_every_active_latent(llama, traced, weights, truth):
    sae, clean = traced
    found = sweep(clean, sae, np.arange(64.0), weights)
    assert sorted(found.latent) == sorted(set(range(64)) - {4, 20})
    np.testing.assert_allclose(found.effect, truth[found.latent], atol=2e-6)
    assert len(found.unmeasured) == 0
    assert found.missed is None


def test_predictions_order_the_sweep_and_are_compared_with_it(llama, traced, weights, truth):
    sae, clean = traced
    found = sweep(clean, sae, truth, weights, budget=Budget(count=10))
    active = np.setdiff1d(np.arange(64), [4, 20])
    best = active[np.argsort(-np.abs(truth[active]))[:10]]
    assert found.latent.tolist() == best.tolist()
    assert found.agreement.sign_agreement == 1.0
    assert found.agreement.rank_correlation == pytest.approx(1.0)
    assert sorted([*found.latent, *found.unmeasured]) == active.tolist()


def test_random_subsets_bound_the_largest_missed_effect(llama, traced, weights, truth):
    sae, clean = traced
    # Predictions that are wrong on purpose leave the strongest features unmeasured.
    wrong = 1 / (1e-3 + np.abs(truth))
    found = sweep(clean, sae, wrong, weights, budget=Budget(count=5), subsets=32)
    assert found.missed is not None
    assert len(found.unmeasured) == 57
    assert found.missed.largest >= np.abs(truth[found.unmeasured]).max() > 0.3


def test_a_budget_of_no_time_measures_nothing_but_still_bounds(llama, traced, weights):
    sae, clean = traced
    found = sweep(clean, sae, np.zeros(64), weights, budget=Budget(seconds=0.0))
    assert len(found.latent) == 0
    assert found.missed is not None
    assert len(found.unmeasured) == 62


def test_latents_are_swept_if_they_change_on_the_requested_rows(llama, traced, weights):
    sae, clean = traced
    rows = [2]
    active = changing_latents(clean, sae, rows)
    row = clean.row_of_token()[clean.features[sae.name].token_here]
    assert active.tolist() == sorted(set(clean.features[sae.name].latent_here[row == 2].tolist()))
    found = sweep(clean, sae, np.zeros(64), weights, changes_on=rows)
    assert sorted(found.latent) == active.tolist()
    assert 0 < len(active) < 62


def test_a_contrast_sweeps_what_differs_from_the_counter_examples(lab, llama, weights):
    sae = lab.sae(1)
    sae.b_enc[[4, 20]] = -100.0
    experiment = lab.experiment(llama, sae)
    clean, targets = experiment.trace, contrast_features(experiment)
    found = sweep(clean, sae, np.arange(64.0), weights, targets=targets)
    wanted = lab.wanted.contrast(experiment, sae)
    features = torch.split(
        sae.encode(clean.streams[1]).features,
        np.diff(clean.grid.layout.completion_offsets).tolist(),
    )
    differs = [
        ((features[row] - wanted.feature[row]).abs() > 1e-6).any(0)
        for row in np.flatnonzero(weights)
    ]
    assert sorted(found.latent) == torch.stack(differs).any(0).nonzero()[:, 0].tolist()
    effects = ablate_each(clean, sae, found.latent, targets=targets)
    expected = effects.dense(found.latent, np.arange(12)) @ weights
    np.testing.assert_allclose(found.effect, expected, atol=2e-6)
