"""Every step of the engine on a second device: nothing mixes devices, and numbers are the CPU's."""

from __future__ import annotations

import numpy as np
import pytest
from torch import nn

from pm_audit.attribution.grad_drop import grad_drop
from pm_audit.attribution.integrated_gradients import attribute
from pm_audit.attribution.per_feature_ig import attribute_per_feature
from pm_audit.forward.experiment import Experiment
from pm_audit.interventions.ablation import ablate_each, ablate_sets
from pm_audit.interventions.reconstruction import replace_all
from pm_audit.interventions.replacements import replacements
from pm_audit.interventions.replay_cache import ReplayCache
from pm_audit.records import Feature
from pm_audit.subject.activation import TopK
from pm_audit.subject.preference_model import PreferenceModel
from pm_audit.subject.sae import Normalisation
from tests.devices.accelerator import DEVICE, accelerator
from tests.engine_lab import HIDDEN, build_backbone, build_experiment, build_sae

REFERENCE = np.array([1, 2])


def experiment_on(device: str) -> Experiment:
    head = nn.Linear(HIDDEN, 1, bias=False)
    nn.init.constant_(head.weight, 0.1)
    backbone, head = build_backbone("llama").to(device), head.to(device)
    pm = PreferenceModel.from_backbone(
        backbone, head, name="tiny", tokenizer=None, text_format=None, sha256=""
    )
    low = build_sae(1, normalisation=Normalisation.LAYER_NORM)
    high = build_sae(2, activation=TopK(k=9))
    return build_experiment(pm, low.to(device), high.to(device))


def figures(experiment: Experiment, name: str) -> dict[str, np.ndarray]:
    clean, (low, high) = experiment.trace, experiment.trace.saes
    targets = replacements()[name].targets(experiment, REFERENCE)
    below, above = (
        [Feature(sae=sae.name, layer=sae.layer, index=index) for index in range(9)]
        for sae in (low, high)
    )
    sets = [below, above, below + above]
    single = ablate_each(clean, low, range(9), targets=targets)
    alone = attribute_per_feature(clean, low, [3], targets=targets, steps=2)
    return {
        "sets": ablate_sets(clean, sets, targets=targets, cache=ReplayCache()),
        "single": single.dense(range(9), range(12)),
        "all but a set": replace_all(clean, [low, high], targets, but=below + above),
        "error": replace_all(clean, [low, high], targets, features=False, error=True),
        "attributions": attribute(clean, low, targets=targets).by_row.toarray(),
        "drops": grad_drop(clean, low, targets=targets).toarray(),
        "one path": alone.value,
    }


@pytest.fixture(scope="module")
def experiments():
    here = experiment_on("cpu")
    with accelerator():
        yield here, experiment_on(DEVICE)


@pytest.mark.parametrize("name", list(replacements()))
def test_the_engine_gives_the_cpus_numbers(experiments, name):
    here, there = (figures(one, name) for one in experiments)
    assert here["sets"].std() > 1e-2
    for what, expected in here.items():
        np.testing.assert_allclose(there[what], expected, atol=1e-4, err_msg=what)
