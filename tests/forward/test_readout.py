"""Rewards that rest on more than the last token: engine and plain forwards must agree."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from pm_audit.attribution.integrated_gradients import Method, attribute
from pm_audit.errors import ModelError
from pm_audit.forward.grid import Grid
from pm_audit.forward.splice import splice_reconstruction
from pm_audit.forward.trace import trace
from pm_audit.interventions.ablation import ablate_each, ablate_sets
from pm_audit.interventions.replacements import mean_features
from pm_audit.records import Feature
from pm_audit.subject.gate import Gate, GatedHead
from pm_audit.subject.heads import LinearHead
from pm_audit.subject.preference_model import Readout

HEADER = (5, 3)
CLOSE = {"atol": 2e-5, "rtol": 2e-5}


@pytest.fixture(scope="module")
def grid(lab) -> Grid:
    """Rows whose prompts end in the header that the gate looks for."""
    rows = []
    for row in lab.grid(seed=4).rows:
        prompt, completion = row.token_ids[: row.completion_start], row.token_ids[-3:]
        token_ids = (*prompt, *HEADER, *completion)
        rows.append(replace(row, token_ids=token_ids, completion_start=len(prompt) + 2))
    return Grid(tuple(rows))


def build(lab, reading: str):
    pm = lab.pm("llama")
    torch.manual_seed(2)
    if reading == "mean":
        head = LinearHead(torch.randn(1, lab.hidden) * 0.3, torch.tensor([0.4]))
        return replace(pm, head=head.requires_grad_(requires_grad=False), readout=Readout.MEAN)
    layers = nn.Sequential(nn.Linear(lab.hidden, 8), nn.ReLU(), nn.Linear(8, 3))
    gate = Gate(layers, temperature=0.2, scale=1.5, header=HEADER)
    head = GatedHead(torch.randn(3, lab.hidden) * 0.3, gate)
    return replace(pm, head=head.requires_grad_(requires_grad=False))


@pytest.fixture(scope="module", params=["gate", "mean"])
def pm(request, lab):
    return build(lab, request.param)


@pytest.mark.parametrize("layer", [1, 3])
def test_rewards_and_ablations_equal_plain_forwards(lab, pm, grid, layer):
    sae = lab.sae(layer)
    clean = trace(pm, (sae,), grid)
    plain = lab.plain(pm, grid)
    np.testing.assert_allclose(clean.rewards, plain.rewards(), **CLOSE)
    np.testing.assert_allclose(clean.rewards, plain.rewards(left=True), **CLOSE)

    latents = torch.unique(clean.features[sae.name].latent)[:6].tolist()
    effects = ablate_each(clean, sae, latents)
    together = [Feature(sae=sae.name, layer=layer, index=latent) for latent in latents]
    means = mean_features(clean, range(4))
    joint = ablate_sets(clean, [together])[0]
    replaced = ablate_sets(clean, [together], targets=means)[0]

    def without(chosen, by=None):
        def edit(_, stream):
            encoding = sae.encode(stream)
            kept = encoding.features.clone()
            kept[:, chosen] = 0.0 if by is None else by.value[chosen]
            return stream - sae.decode(encoding) + sae.decode(encoding.with_features(kept))

        return {layer: edit}

    table = effects.dense(latents, range(len(grid)))
    for latent, row in zip(latents, table, strict=True):
        np.testing.assert_allclose(clean.rewards - row, plain.rewards(without([latent])), **CLOSE)
    np.testing.assert_allclose(joint, plain.rewards(without(latents)), **CLOSE)
    expected = plain.rewards(without(latents, means[sae.name]))
    np.testing.assert_allclose(replaced, expected, **CLOSE)
    reconstructed = {layer: lambda _, stream: sae.decode(sae.encode(stream))}
    np.testing.assert_allclose(
        splice_reconstruction(clean, sae), plain.rewards(reconstructed), **CLOSE
    )


@pytest.mark.parametrize("method", list(Method))
def test_attributions_equal_gradients_of_plain_forwards(lab, pm, grid, method):
    sae = lab.sae(1)
    clean = trace(pm, (sae,), grid)
    plain = lab.plain(pm, grid)
    found = attribute(clean, sae, method=method, steps=2)
    if method is Method.ATP:
        gradient = plain.gradients(1)
        features = clean.features[sae.name]
        by_hand = features.strength * (
            sae.W_dec[features.latent] * torch.from_numpy(gradient)[features.token]
        ).sum(-1)
        np.testing.assert_allclose(found.value, by_hand.numpy(), **CLOSE)
    bare = plain.rewards({1: lambda _, stream: sae.b_dec.expand_as(stream)})
    np.testing.assert_allclose(found.change, clean.rewards - bare, **CLOSE)


def test_two_saes_at_two_layers_are_ablated_together(lab, pm, grid):
    saes = lab.sae(1), lab.sae(3)
    clean = trace(pm, saes, grid)
    chosen = [
        Feature(sae=sae.name, layer=sae.layer, index=latent)
        for sae in saes
        for latent in torch.unique(clean.features[sae.name].latent)[:3].tolist()
    ]

    def edit(sae):
        indices = [feature.index for feature in chosen if feature.sae == sae.name]

        def change(_, stream):
            encoding = sae.encode(stream)
            kept = encoding.features.clone()
            kept[:, indices] = 0.0
            return stream - sae.decode(encoding) + sae.decode(encoding.with_features(kept))

        return change

    expected = lab.plain(pm, grid).rewards({sae.layer: edit(sae) for sae in saes})
    np.testing.assert_allclose(ablate_sets(clean, [chosen])[0], expected, **CLOSE)


def test_gate_weights_differ_by_prompt_and_not_by_completion(lab, grid):
    pm = build(lab, "gate")
    weights = trace(pm, (), grid).reading.weights
    by_prompt = {row.prompt: weights[index] for index, row in enumerate(grid.rows)}
    for index, row in enumerate(grid.rows):
        torch.testing.assert_close(weights[index], by_prompt[row.prompt])
    assert (by_prompt[0] - by_prompt[1]).abs().max() > 1e-3
    torch.testing.assert_close(weights.sum(dim=1), torch.full((len(grid),), 1.5))


def test_a_gate_that_finds_no_header_or_one_in_a_completion_says_so(lab, grid):
    pm = build(lab, "gate")
    with pytest.raises(ModelError, match="set text_format to chat"):
        trace(pm, (), lab.grid(seed=1))
    row = grid.rows[0]
    late = replace(row, token_ids=(*row.token_ids, *HEADER, 7))
    with pytest.raises(ModelError, match="inside its completion"):
        trace(pm, (), Grid((late,)))
