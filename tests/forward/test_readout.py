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
from pm_audit.interventions.reconstruction import replace_all
from pm_audit.interventions.replacements import contrast_features, zero_features
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


@pytest.fixture(params=["contrast", "zero"])
def put(request, lab):
    """Return the targets of an experiment, and what they must be for one of its SAEs."""
    if request.param == "contrast":
        return contrast_features, lab.wanted.contrast
    return (
        lambda experiment: zero_features(experiment.trace),
        lambda experiment, sae: lab.wanted.constant(experiment, sae, 0.0),
    )


@pytest.mark.parametrize("layer", [1, 3])
def test_rewards_and_ablations_equal_plain_forwards(lab, pm, grid, layer, put):
    sae = lab.sae(layer)
    experiment = lab.experiment(pm, sae, grid=grid)
    clean, plain = experiment.trace, lab.plain(pm, grid)
    np.testing.assert_allclose(clean.rewards, plain.rewards(), **CLOSE)
    np.testing.assert_allclose(clean.rewards, plain.rewards(left=True), **CLOSE)

    targets, wanted = put[0](experiment), put[1](experiment, sae)
    latents = torch.unique(clean.features[sae.name].latent)[:6].tolist()
    together = [Feature(sae=sae.name, layer=layer, index=latent) for latent in latents]
    table = ablate_each(clean, sae, latents, targets=targets).dense(latents, range(len(grid)))
    for latent, row in zip(latents, table, strict=True):
        expected = plain.rewards({layer: wanted.ablation([latent])})
        np.testing.assert_allclose(clean.rewards - row, expected, **CLOSE)
    joint = ablate_sets(clean, [together], targets=targets)[0]
    np.testing.assert_allclose(joint, plain.rewards({layer: wanted.ablation(latents)}), **CLOSE)
    left = replace_all(clean, [sae], targets, but=together)
    expected = plain.rewards({layer: wanted.everything(but=latents)})
    np.testing.assert_allclose(left, expected, **CLOSE)
    reconstructed = {layer: lambda _, stream: sae.decode(sae.encode(stream))}
    np.testing.assert_allclose(
        splice_reconstruction(clean, sae), plain.rewards(reconstructed), **CLOSE
    )


@pytest.mark.parametrize("method", list(Method))
def test_attributions_equal_gradients_of_plain_forwards(lab, pm, grid, method, put):
    sae = lab.sae(1)
    experiment = lab.experiment(pm, sae, grid=grid)
    clean, plain = experiment.trace, lab.plain(pm, grid)
    wanted = put[1](experiment, sae)
    found = attribute(clean, sae, method=method, steps=2, targets=put[0](experiment))
    if method is Method.ATP:
        change = clean.streams[1] - torch.cat(
            [wanted.everything()(row, part) for row, part in enumerate(_by_row(clean))]
        )
        by_token = (change.numpy() * plain.gradients(1)).sum(-1)
        expected = np.bincount(clean.row_of_token(), by_token, minlength=len(grid))
        np.testing.assert_allclose(found.by_row.sum(axis=0), expected, **CLOSE)
    end = plain.rewards({1: wanted.everything(error=True)})
    np.testing.assert_allclose(found.change, clean.rewards - end, **CLOSE)


def _by_row(clean):
    return torch.split(clean.streams[1], np.diff(clean.grid.layout.completion_offsets).tolist())


def test_two_saes_at_two_layers_are_ablated_together(lab, pm, grid, put):
    saes = lab.sae(1), lab.sae(3)
    experiment = lab.experiment(pm, *saes, grid=grid)
    clean = experiment.trace
    chosen = {sae.name: torch.unique(clean.features[sae.name].latent)[:3].tolist() for sae in saes}
    features = [
        Feature(sae=sae.name, layer=sae.layer, index=latent)
        for sae in saes
        for latent in chosen[sae.name]
    ]
    expected = lab.plain(pm, grid).rewards(
        {sae.layer: put[1](experiment, sae).ablation(chosen[sae.name]) for sae in saes}
    )
    found = ablate_sets(clean, [features], targets=put[0](experiment))[0]
    np.testing.assert_allclose(found, expected, **CLOSE)


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
