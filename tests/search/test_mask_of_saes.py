"""The learned mask over several SAEs replays what an ablation of its set does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pm_audit.interventions.ablation import ablate_sets
from pm_audit.interventions.objective import Objective
from pm_audit.interventions.replacements import contrast_features
from pm_audit.records import Feature
from pm_audit.search.mask import _Gated
from tests.engine_lab import lab, llama

__all__ = ["lab", "llama"]


@pytest.mark.parametrize("layers", [(1, 1), (1, 2), (2, 1)])
def test_open_gates_are_the_ablation_of_their_set(lab, llama, layers):
    saes = [lab.sae(layer, name=f"sae{at}", seed=at) for at, layer in enumerate(layers)]
    experiment = lab.experiment(llama, *saes)
    every = experiment.contrast.of_prompts(range(experiment.contrast.prompts))
    objective = Objective.of(experiment, range(experiment.contrast.prompts), every, penalty=1.0)
    candidates = [
        Feature(sae=sae.name, layer=sae.layer, index=index) for sae in saes for index in range(8)
    ]
    targets = contrast_features(experiment)
    gated = _Gated(experiment.trace, objective, candidates, targets)
    expected = ablate_sets(experiment.trace, [candidates], targets=targets)[0]
    assert np.abs(expected - experiment.rewards).max() > 0.1
    np.testing.assert_allclose(gated.rewards(torch.ones(len(candidates))), expected, atol=2e-5)
