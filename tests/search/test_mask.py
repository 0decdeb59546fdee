"""The learned mask: its gates are real ablations, and its gradient is that of their rewards."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pm_audit.interventions.ablation import ablate_sets
from pm_audit.interventions.growth import LEAST_GAIN
from pm_audit.interventions.objective import Objective
from pm_audit.interventions.replacements import contrast_features
from pm_audit.records import Feature
from pm_audit.search.mask import STEPS, _Gated, learn_mask
from tests.engine_lab import lab, llama
from tests.search.conftest import parted, phrased, planting_of

__all__ = ["lab", "llama"]


def objective_of(experiment, *, penalty=1.5) -> Objective:
    prompts = range(experiment.contrast.prompts)
    sees = experiment.contrast.of_prompts(prompts)
    return Objective.of(experiment, prompts, sees, penalty=penalty)


@pytest.fixture(scope="module")
def two_layers(lab, llama):
    """Return an experiment with SAEs at two layers, and candidates of both that are active."""
    lower, upper = lab.sae(0), lab.sae(2)
    experiment = lab.experiment(llama, lower, upper)
    candidates = [
        Feature(sae=sae.name, layer=sae.layer, index=int(latent))
        for sae in (lower, upper)
        for latent in np.unique(experiment.trace.features[sae.name].latent_here)[:3]
    ]
    return experiment, candidates, contrast_features(experiment)


def test_closed_and_open_gates_are_the_ablation_of_a_set(two_layers):
    experiment, candidates, targets = two_layers
    replay = _Gated(experiment.trace, objective_of(experiment), candidates, targets)
    for gates in ([0, 0, 0, 0, 0, 0], [1, 0, 1, 0, 0, 0], [0, 1, 0, 1, 0, 1], [1] * 6):
        chosen = [one for one, gate in zip(candidates, gates, strict=True) if gate]
        expected = ablate_sets(experiment.trace, [chosen], targets=targets)[0]
        found = replay.rewards(torch.tensor(gates, dtype=torch.float32))
        np.testing.assert_allclose(found, expected, atol=2e-5)


def test_the_gradient_is_that_of_the_rewards(two_layers):
    experiment, candidates, targets = two_layers
    replay = _Gated(experiment.trace, objective_of(experiment), candidates, targets)
    weights = np.random.default_rng(0).normal(size=len(experiment.rewards))
    gates, step = torch.full((6,), 0.4), 2e-2
    by_difference = [
        weights @ (replay.rewards(gates + one) - replay.rewards(gates - one)) / (2 * step)
        for one in step * torch.eye(6)
    ]
    found = replay.gradient(gates, weights)
    assert np.abs(by_difference).min() > 1e-3
    np.testing.assert_allclose(found, by_difference, rtol=0.02, atol=2e-3)


@pytest.mark.parametrize("saes", [1, 2])
def test_the_planted_set_is_learned_among_all_candidates(model, saes):
    parts = parted(model, "!", "~*+^=&%") if saes == 2 else [model.sae]
    planted = planting_of(model, phrased("!~", counter_examples=["**"]), parts)
    names = [sae.name for sae in parts]
    candidates = [one for name in names for one in planted.features("!~*+^=&%", name)]
    found = learn_mask(
        planted.trace, objective_of(planted.experiment), candidates, planted.targets, most=10
    )
    # of two SAEs each sees its own marks, so that what it does not see changes nothing
    chosen = [candidates[one] for one in found.selected]
    carriers = {*planted.features("!", names[0]), *planted.features("~*", names[-1])}
    assert set(chosen) == carriers
    assert len(found.closures) == len(found.collaterals) == STEPS


def test_the_set_is_the_best_that_the_gates_held_but_for_the_price_of_a_feature(planting):
    objective = objective_of(planting.experiment)
    candidates = planting.proposal().candidates(planting.folds[0], most=8)
    found = learn_mask(planting.trace, objective, candidates, planting.targets, most=8)
    chosen = [candidates[one] for one in found.selected]
    after = ablate_sets(planting.trace, [chosen], targets=planting.targets)[0]
    own = (1 - float(objective.residual(after)), float(objective.collateral(after)))
    path = list(zip(found.closures, found.collaterals, strict=True))
    assert path[0] == pytest.approx((0.0, 0.0), abs=1e-6)  # all gates begin closed
    assert any(one == pytest.approx(own, abs=1e-4) for one in path)
    # the least of the path, but for features that cost more than they gain
    left = [abs(1 - closure) + 1.5 * moved**2 for closure, moved in (own, *path)]
    assert left[0] - min(left) <= 8 * LEAST_GAIN
    assert found.trials == ()


@pytest.mark.parametrize("most", [1, 2])
def test_no_more_gates_are_open_than_allowed(planting, most):
    candidates = planting.proposal().candidates(planting.folds[0], most=8)
    objective = objective_of(planting.experiment)
    found = learn_mask(planting.trace, objective, candidates, planting.targets, most=most)
    assert 0 < len(found.selected) <= most
    again = learn_mask(planting.trace, objective, candidates, planting.targets, most=most)
    assert again == found
