"""Attribution: exact where the model is linear, complete in the limit, honest in between."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from pm_audit.attribution.integrated_gradients import Method, attribute
from pm_audit.forward.splice import completion_jobs, replay
from pm_audit.forward.trace import trace
from pm_audit.interventions.ablation import ablate_each
from pm_audit.subject.preference_model import PreferenceModel
from pm_audit.subject.sae import Normalisation


class Straight(nn.Module):
    """A head that is linear in the stream: undoes nothing, so a PM without norm is linear."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-1, 1, width))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden @ self.weight


@pytest.fixture(scope="module")
def linear(lab):
    """A decoder whose blocks after the first two add nothing, read without the final norm."""
    pm = lab.pm("llama")
    backbone = pm.decoder.backbone
    with torch.no_grad():
        for block in backbone.layers[2:]:
            block.self_attn.o_proj.weight.zero_()
            block.mlp.down_proj.weight.zero_()
    backbone.norm = nn.Identity()
    return PreferenceModel(**{**vars(pm), "head": Straight(lab.hidden)})


@pytest.mark.parametrize("normalisation", list(Normalisation))
@pytest.mark.parametrize("method", list(Method))
def test_on_a_linear_model_attribution_equals_ablation(lab, linear, method, normalisation):
    sae = lab.sae(1, normalisation=normalisation)
    grid = lab.grid()
    clean = trace(linear, [sae], grid)
    found = attribute(clean, sae, method=method)
    table = np.zeros((sae.width, len(grid)))
    np.add.at(table, (found.latent, found.row), found.value)
    ablated = ablate_each(clean, sae, np.arange(sae.width))
    real = ablated.dense(np.arange(sae.width), np.arange(len(grid)))
    assert np.abs(real).max() > 0.1
    np.testing.assert_allclose(table, real, atol=2e-5)
    np.testing.assert_allclose(found.completeness_gap, 0, atol=2e-5)


def test_more_steps_close_the_completeness_gap(lab, llama):
    # After the last block only the final norm bends the path, most of all near its end.
    sae = lab.sae(3)
    clean = trace(llama, [sae], lab.grid())
    gaps = [
        np.abs(attribute(clean, sae, steps=steps).completeness_gap).max() for steps in (4, 32, 256)
    ]
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 0.02


def test_features_and_error_sum_to_the_change_and_the_gap(lab, llama):
    sae, grid = lab.sae(1), lab.grid()
    clean = trace(llama, [sae], grid)
    found = attribute(clean, sae, steps=3)
    summed = np.zeros(len(grid))
    np.add.at(summed, found.row, found.value)
    np.testing.assert_allclose(
        summed + found.error - found.change, found.completeness_gap, atol=1e-9
    )
    bare = lab.plain(llama, grid).rewards({1: lambda _, stream: sae.b_dec.expand_as(stream)})
    np.testing.assert_allclose(found.change, clean.rewards - bare, atol=5e-6)


def test_the_path_is_sampled_at_midpoints(lab, llama):
    sae, grid = lab.sae(1), lab.grid()
    clean = trace(llama, [sae], grid)
    found = attribute(clean, sae, steps=2)
    plain = lab.plain(llama, grid)
    gradient = 0
    for share in (0.25, 0.75):

        def part(_, stream, share=share):
            return stream - share * (stream - sae.b_dec)

        gradient = gradient + plain.gradients(1, {1: part}) / 2
    values = clean.features[sae.name].value.numpy()
    expected = values * (sae.W_dec.numpy()[found.latent] * gradient[found.token]).sum(-1)
    np.testing.assert_allclose(found.value, expected, rtol=1e-3, atol=1e-4)


def test_rows_are_attributed_alone(lab, llama):
    sae = lab.sae(1)
    clean = trace(llama, [sae], lab.grid())
    whole, part = attribute(clean, sae), attribute(clean, sae, rows=[8, 3])
    assert part.rows.tolist() == [8, 3]
    np.testing.assert_allclose(part.completeness_gap, whole.completeness_gap[[8, 3]], atol=2e-6)
    kept = np.isin(whole.row, [3, 8])
    np.testing.assert_allclose(part.value, whole.value[kept], atol=2e-6)
    assert (part.latent == whole.latent[kept]).all()


def test_batches_of_any_size_attribute_alike(lab, llama):
    sae = lab.sae(2)
    clean = trace(llama, [sae], lab.grid())
    whole, small = (attribute(one, sae) for one in (clean, replace(clean, token_budget=5)))
    np.testing.assert_allclose(small.value, whole.value, atol=5e-6)


@pytest.mark.parametrize("ratio", [0, 10_000])
def test_dense_and_gathered_products_agree(lab, llama, monkeypatch, ratio):
    sae = lab.sae(1)
    clean = trace(llama, [sae], lab.grid())
    expected = attribute(clean, sae).value
    monkeypatch.setattr(
        "pm_audit.attribution.integrated_gradients._DENSE_LATENTS_PER_ACTIVE", ratio
    )
    np.testing.assert_allclose(attribute(clean, sae).value, expected, atol=2e-6)


def test_no_parameter_takes_a_gradient(lab, llama):
    sae = lab.sae(1)
    attribute(trace(llama, [sae], lab.grid()), sae)
    parameters = [*llama.decoder.backbone.parameters(), *llama.head.parameters()]
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in parameters)


def test_attribution_knows_the_path_that_replay_runs(lab, llama):
    sae, grid = lab.sae(0), lab.grid()
    clean = trace(llama, [sae], grid)
    found = attribute(clean, sae)
    jobs = completion_jobs(clean, np.arange(len(grid)))
    bare = replay(clean, jobs, {0: lambda _, stream: sae.b_dec.expand_as(stream)})
    np.testing.assert_allclose(found.change, clean.rewards - bare, atol=2e-6)
