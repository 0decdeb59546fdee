"""Attention in one call is attention group by group, with the kernel's contract written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from pm_audit.attribution.integrated_gradients import attribute
from pm_audit.forward import packing
from pm_audit.forward.trace import trace
from pm_audit.interventions.ablation import ablate_each
from pm_audit.subject.kernels import joined_attention, packed_attention
from tests.engine_lab import build_grid, build_pm, build_sae


def kernel(
    query, key, value, queries_before, keys_before, most_queries, most_keys, scaling, window
):
    """Attend as flash attention does: the last query of a segment sees up to its last key."""
    parts = []
    for segment in range(len(queries_before) - 1):
        own = slice(queries_before[segment], queries_before[segment + 1])
        seen = slice(keys_before[segment], keys_before[segment + 1])
        asked, keys, values = query[own], key[seen], value[seen]
        assert 0 < len(asked) <= most_queries
        assert len(asked) <= len(keys) <= most_keys
        place = torch.arange(len(keys))
        last = place[len(keys) - len(asked) :, None]
        visible = place <= last
        if window is not None:
            visible &= place > last - window
        attended = F.scaled_dot_product_attention(
            asked.transpose(0, 1),
            keys.transpose(0, 1),
            values.transpose(0, 1),
            attn_mask=visible,
            scale=scaling,
            enable_gqa=True,
        )
        parts.append(attended.transpose(0, 1))
    return torch.cat(parts)


@pytest.fixture
def calls(monkeypatch):
    """Let the CPU have the kernel, and count its calls."""
    counted = []
    monkeypatch.setattr(packing, "has_kernel", lambda _: True)
    monkeypatch.setattr(packed_attention, "serves", lambda _, softcap: softcap is None)

    def counting(*arguments):
        counted.append(arguments)
        return kernel(*arguments)

    monkeypatch.setattr(joined_attention, "_kernel", counting)
    return counted


def results(pm):
    """Return rewards, attributions and single ablations, all replayed from tiny batches."""
    sae = build_sae(1)
    clean = trace(pm, [sae], build_grid(), token_budget=30)
    attributed = attribute(clean, sae)
    effects = ablate_each(clean, sae, np.arange(64))
    return clean.rewards, attributed.value, attributed.change, effects.contribution


@pytest.mark.parametrize("family", ["llama", "mistral-sliding", "gpt2"])
def test_the_engine_finds_the_same_in_one_call_for_each_block(calls, family, request):
    pm = build_pm(family)
    joined = results(pm)
    assert len(calls) > 100
    request.getfixturevalue("monkeypatch").undo()
    for found, expected in zip(joined, results(pm), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_soft_cap_is_attended_group_by_group(calls):
    results(build_pm("gemma2-softcap"))
    assert not calls


def test_a_cpu_has_no_kernel_and_packs_nothing_for_it():
    assert not joined_attention.has_kernel(torch.device("cpu"))
    layout = build_grid().layout
    jobs = packing.Jobs(np.arange(len(layout.length)), layout.shared_length, layout.length)
    (batch,) = packing.pack(layout, jobs, token_budget=10_000, device=torch.device("cpu"))
    assert batch.joined is None


@pytest.mark.parametrize(
    ("dtype", "dim", "softcap", "taken"),
    [
        (torch.bfloat16, 128, None, True),
        (torch.float16, 64, None, True),
        (torch.float32, 128, None, False),
        (torch.bfloat16, 128, 30.0, False),
        (torch.bfloat16, 20, None, False),
        (torch.bfloat16, 512, None, False),
    ],
)
def test_what_the_kernel_takes(monkeypatch, dtype, dim, softcap, taken):
    monkeypatch.setattr(joined_attention, "has_kernel", lambda _: True)
    assert joined_attention.serves(torch.zeros(3, 2, dim, dtype=dtype), softcap) is taken


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("window", [None, 5])
def test_the_gpus_kernel_keeps_the_contract(window):
    lengths, contexts = [3, 7, 1, 40], [0, 12, 30, 5]
    before = [
        torch.tensor(np.cumsum([0, *counts]), dtype=torch.int32, device="cuda")
        for counts in (lengths, np.add(lengths, contexts))
    ]
    torch.manual_seed(0)
    query = torch.randn(51, 4, 64, dtype=torch.bfloat16, device="cuda", requires_grad=True)
    key, value = torch.randn(2, 98, 2, 64, dtype=torch.bfloat16, device="cuda")
    arguments = (key, value, *before, 40, 45, 0.125, window)
    found = joined_attention._kernel(query, *arguments)
    wide = query.detach().cpu().float().requires_grad_()
    plain = [one.cpu().float() if one.is_floating_point() else one.cpu() for one in arguments[:4]]
    expected = kernel(wide, *plain, *arguments[4:])
    torch.testing.assert_close(found.cpu().float(), expected, atol=2e-2, rtol=2e-2)
    found.sum().backward()
    expected.sum().backward()
    torch.testing.assert_close(query.grad.cpu().float(), wide.grad, atol=5e-2, rtol=5e-2)
