"""The clean forward: order, batching and company change nothing."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pm_audit.errors import NumericalError, SaeError
from pm_audit.forward.grid import Grid, Row
from pm_audit.forward.trace import rewards, trace
from pm_audit.subject.activation import TopK
from pm_audit.subject.preference_model import PreferenceModel
from pm_audit.subject.sae import Normalisation


@settings(max_examples=20)
@given(order=st.permutations(range(12)), kept=st.integers(1, 12), budget=st.integers(1, 80))
def test_rewards_do_not_depend_on_order_company_or_batching(lab, llama, order, kept, budget):
    grid = lab.grid()
    expected = rewards(llama, grid)
    chosen = order[:kept]
    some = Grid(tuple(grid.rows[row] for row in chosen))
    found = trace(llama, (), some, token_budget=budget)
    np.testing.assert_allclose(found.rewards, expected[chosen], atol=2e-6)


def test_prompt_numbers_are_only_names(lab, llama):
    grid = lab.grid()
    alone = Grid(tuple(dataclasses.replace(row, prompt=at) for at, row in enumerate(grid.rows)))
    np.testing.assert_allclose(rewards(llama, alone), rewards(llama, grid), atol=2e-6)


def test_an_empty_completion_and_an_empty_prompt_have_rewards(lab, llama):
    grid = Grid((Row(0, (5, 6, 7), 3), Row(0, (5, 6, 7, 8), 3), Row(1, (9, 10), 0)))
    np.testing.assert_allclose(rewards(llama, grid), lab.plain(llama, grid).rewards(), atol=2e-6)


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_streams_are_those_of_the_transformers_model(lab, llama, layer):
    grid = lab.grid()
    clean = trace(llama, [lab.sae(1)], grid, also=[layer])
    for index, row in enumerate(grid.rows):
        hidden = llama.decoder.backbone(
            torch.tensor([row.token_ids]), output_hidden_states=True
        ).hidden_states
        own = slice(*grid.layout.completion_offsets[index : index + 2])
        expected = hidden[layer + 1][0, row.completion_start :]
        torch.testing.assert_close(clean.streams[layer][own], expected, atol=5e-5, rtol=1e-5)


@pytest.mark.parametrize("normalisation", list(Normalisation))
def test_sparse_features_are_the_encodings(lab, llama, normalisation, monkeypatch):
    monkeypatch.setattr("pm_audit.forward.features._DENSE_ENTRIES", 64 * 7)
    sae = lab.sae(2, normalisation=normalisation, activation=TopK(k=5))
    clean = trace(llama, [sae], lab.grid())
    features = clean.features[sae.name]
    encoding = sae.encode(clean.streams[2])
    dense = torch.zeros_like(encoding.features)
    dense[features.token, features.latent] = features.value
    torch.testing.assert_close(dense, encoding.features, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(features.scale, encoding.scale)
    assert (features.value > 0).all()
    assert (features.token.diff() >= 0).all()


def test_saes_that_do_not_fit_are_refused(lab, llama):
    grid = lab.grid()
    sae = lab.sae(1)
    with pytest.raises(SaeError, match="two SAEs are named 'block1'"):
        trace(llama, [sae, sae], grid)
    with pytest.raises(SaeError, match="reads after block 4, this PM has blocks 0 to 3"):
        trace(llama, [dataclasses.replace(sae, layer=4)], grid)
    half = {"W_enc": sae.W_enc[:16], "W_dec": sae.W_dec[:, :16], "b_dec": sae.b_dec[:16]}
    with pytest.raises(SaeError, match="width 16, this PM's is 32"):
        trace(llama, [dataclasses.replace(sae, **half)], grid)
    with pytest.raises(SaeError, match="not part of this trace"):
        trace(llama, [sae], grid).sae("other")


def test_a_reward_that_is_not_finite_is_an_error(lab, llama):
    class Broken(nn.Module):
        def forward(self, hidden: torch.Tensor) -> torch.Tensor:
            return hidden.sum(-1) * torch.nan

    broken = PreferenceModel(**{**vars(llama), "head": Broken()})
    with pytest.raises(NumericalError, match="12 of 12 rewards are not finite"):
        rewards(broken, lab.grid())
