"""Attribution: exact where the model is linear, complete in the limit, honest in between."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from pm_audit.attribution.integrated_gradients import Method, attribute
from pm_audit.forward.contrast import Contrast
from pm_audit.forward.experiment import Experiment
from pm_audit.forward.grid import Grid, Row
from pm_audit.forward.trace import trace
from pm_audit.interventions.ablation import ablate_each
from pm_audit.interventions.reconstruction import replace_all
from pm_audit.interventions.replacements import contrast_features, mean_features, zero_features
from pm_audit.records import Role
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


REPLACEMENTS = {
    "contrast": contrast_features,
    "mean": lambda experiment: mean_features(experiment.trace, [1, 2, 5]),
    "zero": lambda experiment: zero_features(experiment.trace),
}


@pytest.fixture(params=["contrast", "zero"])
def traced(request, lab, llama):
    """An SAE, its clean forward, the targets, and the same token by token."""
    sae = lab.sae(1)
    experiment = lab.experiment(llama, sae)
    if request.param == "zero":
        wanted = lab.wanted.constant(experiment, sae, 0.0)
    else:
        wanted = lab.wanted.contrast(experiment, sae)
    return sae, experiment.trace, REPLACEMENTS[request.param](experiment), wanted


def by_hooks(lab, clean, sae, wanted, gradient):
    """Return [latent row], feature less target times gradient, summed over each row's tokens."""
    encoding = sae.encode(clean.streams[sae.layer])
    change = (encoding.features - torch.cat(wanted.feature)) * encoding.scale[:, None]
    by_token = change.double().numpy() * (gradient @ sae.W_dec.numpy().T)
    table = np.zeros((len(clean.grid), sae.width))
    np.add.at(table, clean.row_of_token(), by_token)
    return table.T


@pytest.mark.parametrize("replacement", REPLACEMENTS)
@pytest.mark.parametrize("normalisation", list(Normalisation))
@pytest.mark.parametrize("method", list(Method))
def test_on_a_linear_model_attribution_equals_ablation(
    lab, linear, method, normalisation, replacement
):
    sae = lab.sae(1, normalisation=normalisation)
    experiment = lab.experiment(linear, sae)
    targets = REPLACEMENTS[replacement](experiment)
    found = attribute(experiment.trace, sae, method=method, targets=targets)
    ablated = ablate_each(experiment.trace, sae, np.arange(sae.width), targets=targets)
    real = ablated.dense(np.arange(sae.width), found.rows)
    assert np.abs(real).max() > 0.1
    np.testing.assert_allclose(found.by_row.toarray(), real, atol=2e-5)
    np.testing.assert_allclose(found.completeness_gap, 0, atol=5e-5)


@st.composite
def hypotheses(draw):
    """Return rows with roles: texts of any length, the empty one too, with or without an end."""
    rows, roles = [], []
    for prompt in range(draw(st.integers(1, 2))):
        start = draw(st.integers(1, 3))
        end = tuple(draw(st.sampled_from([(), (1,), (1, 2)])))
        for role in draw(st.lists(st.sampled_from(Role), min_size=1, max_size=4)):
            own = tuple(draw(st.lists(st.integers(3, 9), max_size=3)))
            text = (*range(10, 10 + start), *own, *end)
            rows.append(Row(prompt, text, start, start + len(own)))
            roles.append(role)
    return Grid(tuple(rows)), Contrast(np.array([row.prompt for row in rows]), roles)


@given(hypothesis=hypotheses(), layer=st.sampled_from([1, 3]))
def test_on_a_linear_model_all_latents_of_all_rows_are_what_ablation_finds(
    lab, linear, hypothesis, layer
):
    grid, contrast = hypothesis
    sae = lab.sae(layer, W_skip=0.1 * torch.ones(lab.hidden, lab.hidden))
    experiment = Experiment(trace(linear, [sae], grid), contrast)
    targets = contrast_features(experiment)
    found = attribute(experiment.trace, sae, steps=1, targets=targets)
    ablated = ablate_each(experiment.trace, sae, np.arange(sae.width), targets=targets)
    real = ablated.dense(np.arange(sae.width), found.rows)
    np.testing.assert_allclose(found.by_row.toarray(), real, atol=5e-5)
    np.testing.assert_allclose(found.completeness_gap, 0, atol=1e-4)
    error = replace_all(experiment.trace, [sae], targets, features=False, error=True)
    np.testing.assert_allclose(found.error, experiment.rewards - error, atol=1e-4)


def test_plain_attribution_equals_gradients_of_hooks(lab, traced):
    sae, clean, targets, wanted = traced
    found = attribute(clean, sae, method=Method.ATP, targets=targets)
    gradient = lab.plain(clean.pm, clean.grid).gradients(1)
    expected = by_hooks(lab, clean, sae, wanted, gradient)
    np.testing.assert_allclose(found.by_row.toarray(), expected, rtol=1e-3, atol=1e-4)


def test_the_path_is_sampled_at_midpoints(lab, traced):
    sae, clean, targets, wanted = traced
    found = attribute(clean, sae, steps=2, targets=targets)
    plain, end = lab.plain(clean.pm, clean.grid), wanted.everything(error=True)
    gradient = 0
    for share in (0.25, 0.75):

        def part(row, stream, share=share):
            return stream + share * (end(row, stream) - stream)

        gradient = gradient + plain.gradients(1, {1: part}) / 2
    expected = by_hooks(lab, clean, sae, wanted, gradient)
    np.testing.assert_allclose(found.by_row.toarray(), expected, rtol=1e-3, atol=1e-4)
    active = (found.latent == 8) & (found.row == 4)
    offset, after = clean.grid.layout.completion_offsets[[4, 5]]
    on = sae.encode(clean.streams[1][offset:after]).features[:, 8] > 0
    assert (found.token[active] - offset).tolist() == on.nonzero()[:, 0].tolist()


def test_features_and_error_sum_to_the_change_and_the_gap(lab, traced):
    sae, clean, targets, wanted = traced
    found = attribute(clean, sae, steps=3, targets=targets)
    np.testing.assert_allclose(
        found.by_row.sum(axis=0) + found.error - found.change, found.completeness_gap, atol=1e-6
    )
    end = lab.plain(clean.pm, clean.grid).rewards({1: wanted.everything(error=True)})
    np.testing.assert_allclose(found.change, clean.rewards - end, atol=2e-5)
    known = attribute(clean, sae, steps=3, targets=targets, change=found.change)
    np.testing.assert_array_equal(known.completeness_gap, found.completeness_gap)


@pytest.mark.parametrize("replacement", REPLACEMENTS)
def test_more_steps_close_the_completeness_gap(lab, llama, replacement):
    # After the last block only the final norm bends the path.
    sae = lab.sae(3)
    experiment = lab.experiment(llama, sae)
    targets = REPLACEMENTS[replacement](experiment)
    gaps = [
        np.abs(
            attribute(experiment.trace, sae, steps=steps, targets=targets).completeness_gap
        ).max()
        for steps in (4, 32, 256)
    ]
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 0.02


def test_rows_are_attributed_alone(traced):
    sae, clean, targets, _ = traced
    whole, part = (attribute(clean, sae, targets=targets, rows=rows) for rows in (None, [8, 3]))
    assert part.rows.tolist() == [8, 3]
    np.testing.assert_allclose(part.completeness_gap, whole.completeness_gap[[8, 3]], atol=2e-6)
    np.testing.assert_allclose(part.error, whole.error[[8, 3]], atol=2e-6)
    kept = np.isin(whole.row, [3, 8])
    np.testing.assert_allclose(part.value, whole.value[kept], atol=2e-6)
    assert (part.latent == whole.latent[kept]).all()
    table = part.by_row.toarray()
    np.testing.assert_allclose(table[:, [8, 3]], whole.by_row.toarray()[:, [8, 3]], atol=2e-6)
    assert not np.delete(table, [8, 3], axis=1).any()


def test_order_and_company_of_rows_change_nothing(lab, llama):
    sae = lab.sae(1)
    experiment = lab.experiment(llama, sae)
    whole = attribute(experiment.trace, sae, targets=contrast_features(experiment)).by_row.toarray()
    # the second and third prompts by themselves, last row first: batches and padding differ
    order = np.arange(4, 12)[::-1]
    grid = Grid(tuple(experiment.trace.grid.rows[row] for row in order))
    contrast = Contrast(
        experiment.contrast.prompt[order], [experiment.contrast.role[row] for row in order]
    )
    other = Experiment(trace(llama, [sae], grid), contrast)
    found = attribute(other.trace, sae, targets=contrast_features(other)).by_row.toarray()
    np.testing.assert_allclose(found, whole[:, order], atol=1e-5)


def test_batches_of_any_size_attribute_alike(traced):
    sae, clean, targets, _ = traced
    whole, small = (
        attribute(one, sae, targets=targets) for one in (clean, replace(clean, token_budget=5))
    )
    np.testing.assert_allclose(small.value, whole.value, atol=1e-5)
    np.testing.assert_allclose(small.change, whole.change, atol=1e-5)


@pytest.mark.parametrize("ratio", [0, 10_000])
def test_dense_and_gathered_products_agree(traced, monkeypatch, ratio):
    sae, clean, targets, _ = traced
    expected = attribute(clean, sae, targets=targets).by_row.toarray()
    monkeypatch.setattr(
        "pm_audit.attribution.integrated_gradients._DENSE_LATENTS_PER_ACTIVE", ratio
    )
    found = attribute(clean, sae, targets=targets).by_row.toarray()
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_no_parameter_takes_a_gradient(traced):
    sae, clean, targets, _ = traced
    attribute(clean, sae, targets=targets)
    parameters = [*clean.pm.decoder.backbone.parameters(), *clean.pm.head.parameters()]
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in parameters)
