"""A bf16 body under an fp32 head: the same audit within bf16's noise."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from pm_audit.attribution.grad_drop import grad_drop
from pm_audit.attribution.integrated_gradients import attribute
from pm_audit.forward.splice import replay_noise, splice_reconstruction
from pm_audit.forward.trace import trace
from pm_audit.interventions.ablation import ablate_each, ablate_sets
from pm_audit.interventions.reconstruction import replace_all
from pm_audit.interventions.replacements import contrast_features
from pm_audit.records import Feature
from pm_audit.subject.preference_model import PreferenceModel


@pytest.fixture(scope="module")
def half(llama):
    backbone = copy.deepcopy(llama.decoder.backbone).to(torch.bfloat16)
    return PreferenceModel.from_backbone(
        backbone, llama.head, name="half", tokenizer=None, text_format=None, sha256=""
    )


def test_every_step_runs_on_a_half_body(lab, llama, half):
    low, high = lab.sae(1), lab.sae(2)
    experiments = [lab.experiment(pm, low, high) for pm in (half, llama)]
    clean, exact = (one.trace for one in experiments)
    assert clean.streams[1].dtype is torch.bfloat16
    assert clean.features["block1"].value.dtype is torch.float32
    noise = np.abs(clean.rewards - exact.rewards).max()
    assert 0 < noise < 0.5
    sets = [[Feature(sae=sae.name, layer=sae.layer, index=3) for sae in (low, high)]]
    contrasts = [contrast_features(one) for one in experiments]
    for one, targets in zip((clean, exact), contrasts, strict=True):
        ablate_sets(one, sets, targets=targets)
        replace_all(one, [low, high], targets, error=True)
        splice_reconstruction(one, low)
        grad_drop(one, low, targets=targets)
    latents = np.arange(64)
    table, expected = (
        ablate_each(one, low, latents, targets=targets).dense(latents, np.arange(12))
        for one, targets in zip((clean, exact), contrasts, strict=True)
    )
    assert np.corrcoef(table.ravel(), expected.ravel())[0, 1] > 0.9
    found, sought = (
        attribute(one, low, targets=targets)
        for one, targets in zip((clean, exact), contrasts, strict=True)
    )
    assert np.corrcoef(found.change, sought.change)[0, 1] > 0.9
    # the floor is of the dtype: bf16 keeps eight bits, fp32 twenty-four
    wide = lab.grid(prompts=8, completions=9)
    floors = [replay_noise(trace(pm, [low], wide), 1) for pm in (half, llama)]
    assert floors[0] > 1e3 * floors[1]
