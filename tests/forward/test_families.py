"""Every family runs through one splice: packed equals plain, suffix equals full."""

from __future__ import annotations

import numpy as np
import torch
from torch.utils._pytree import tree_leaves

from pm_audit.attribution.integrated_gradients import Method, attribute
from pm_audit.forward.splice import completion_jobs, replay
from pm_audit.forward.trace import trace
from pm_audit.interventions.ablation import ablate_each
from pm_audit.interventions.replacements import contrast_features


def test_packed_rewards_equal_padded_ones_on_either_side(lab, family, family_pm):
    grid = lab.grid()
    plain = lab.plain(family_pm, grid)
    packed = trace(family_pm, (), grid).rewards
    assert np.ptp(packed) > 0.1
    np.testing.assert_allclose(packed, plain.rewards(), atol=1e-5)
    np.testing.assert_allclose(packed, plain.rewards(left=True), atol=1e-5)


def test_suffix_from_any_block_equals_the_full_forward(lab, family, family_pm):
    grid = lab.grid()
    rows = np.arange(len(grid))
    for layer in range(lab.depth):
        clean = trace(family_pm, [lab.sae(layer)], grid)
        jobs = completion_jobs(clean, rows)
        again = replay(clean, jobs, {layer: lambda _, stream: stream})
        np.testing.assert_allclose(again, clean.rewards, atol=2e-6)


def test_inputs_of_some_tokens_are_those_of_a_run_on_them(family, family_pm):
    token_ids, positions = torch.arange(3, 40), torch.arange(37) % 11
    some = torch.tensor([5, 0, 17])
    found = family_pm.decoder.inputs(token_ids, positions).at(some)
    alone = family_pm.decoder.inputs(token_ids[some], positions[some])
    torch.testing.assert_close(found.embedded, alone.embedded)
    ours, theirs = (tree_leaves(one.calls) for one in (found, alone))
    for one, other in zip(ours, theirs, strict=True):
        if isinstance(one, torch.Tensor):
            torch.testing.assert_close(one, other)


def test_single_ablations_equal_hooks_on_the_padded_model(lab, family, family_pm):
    sae = lab.sae(1)
    experiment = lab.experiment(family_pm, sae)
    clean, wanted = experiment.trace, lab.wanted.contrast(experiment, sae)
    latents = np.unique(clean.features[sae.name].latent.numpy())[:6]
    effects = ablate_each(clean, sae, latents, targets=contrast_features(experiment))
    table = effects.dense(latents, np.arange(len(clean.grid)))
    plain = lab.plain(family_pm, clean.grid)
    for contributions, latent in zip(table, latents.tolist(), strict=True):
        expected = plain.rewards() - plain.rewards({1: wanted.ablation([latent])})
        np.testing.assert_allclose(contributions, expected, atol=1e-5)
    assert np.abs(table).max() > 1e-3


def test_attributions_equal_gradients_of_the_padded_model(lab, family, family_pm):
    grid, sae = lab.grid(), lab.sae(1)
    clean = trace(family_pm, [sae], grid)
    found = attribute(clean, sae, method=Method.ATP)
    gradients = lab.plain(family_pm, grid).gradients(1)
    features = clean.features[sae.name].value.numpy()
    decoder = sae.W_dec.numpy()[found.latent]
    expected = features * (decoder * gradients[found.token]).sum(-1)
    np.testing.assert_allclose(found.value, expected, atol=1e-5)
