"""Norms are fused where PyTorch has the same norm, and put back."""

from __future__ import annotations

import pytest
import torch

from pm_audit.subject.kernels.fused_norms import fused, fusible_norms
from tests.engine_lab import build_backbone


@pytest.mark.parametrize(
    ("family", "norms"),
    [("llama", 2), ("qwen3", 4), ("gemma2-softcap", 0), ("gpt2", 0), ("phi", 0)],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_norms_of_the_same_formula_are_found_by_trying(family, norms, dtype):
    assert len(fusible_norms(_block(family, dtype))) == norms


def _block(family, dtype):
    backbone = build_backbone(family).to(dtype)
    return (backbone.h if family == "gpt2" else backbone.layers)[0]


def test_fused_norms_give_the_same_rows_and_gradients():
    norms = fusible_norms(_block("llama", torch.float32))
    torch.manual_seed(0)
    rows = torch.randn(5, 32, requires_grad=True)
    for norm in norms:
        expected = norm(rows)
        (gradient,) = torch.autograd.grad(expected.square().sum(), rows)
        with fused(norms):
            assert "forward" in vars(norm)
            found = norm(rows)
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(torch.autograd.grad(found.square().sum(), rows)[0], gradient)


def test_norms_are_put_back_after_an_exception():
    norms = fusible_norms(_block("llama", torch.float32))
    with pytest.raises(RuntimeError, match="inside"), fused(norms):
        raise RuntimeError("inside")
    assert not any("forward" in vars(norm) for norm in norms)


def test_a_norm_that_something_else_replaced_is_left_alone():
    block = _block("llama", torch.float32)
    for norm in fusible_norms(block):
        norm.forward = type(norm).forward.__get__(norm)
    assert not fusible_norms(block)
