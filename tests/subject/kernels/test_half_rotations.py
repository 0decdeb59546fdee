"""Heads are rotated by halves where a family's function is that rotation, and only meanwhile."""

from __future__ import annotations

import sys

import pytest
import torch
from transformers.models.gpt_neox import modeling_gpt_neox
from transformers.models.llama import modeling_llama

from pm_audit.subject.kernels import half_rotations
from pm_audit.subject.kernels.half_rotations import halved, rotating_modules
from tests.engine_lab import build_backbone


def block_of(family):
    backbone = build_backbone(family)
    return (backbone.h if family in ("gpt2", "gpt-j") else backbone.layers)[0]


@pytest.mark.parametrize(
    ("family", "found"), [("llama", 1), ("qwen3", 1), ("phi", 1), ("gpt2", 0), ("gpt-j", 0)]
)
def test_functions_of_the_same_formula_are_found_by_trying(family, found):
    block = block_of(family)
    modules = rotating_modules(block)
    assert len(modules) == found
    assert all(module is sys.modules[type(block).__module__] for module in modules)


def test_heads_that_neighbours_share_are_turned_otherwise_and_left_alone():
    """GPT-J and Cohere pair a head's neighbours instead of its halves."""

    def neighbours(q, k, cos, sin, unsqueeze_dim=1):
        cos, sin = cos.unsqueeze(unsqueeze_dim), sin.unsqueeze(unsqueeze_dim)
        turned = [torch.stack((-x[..., 1::2], x[..., ::2]), dim=-1).flatten(-2) for x in (q, k)]
        return q * cos + turned[0] * sin, k * cos + turned[1] * sin

    assert half_rotations._same(modeling_llama.apply_rotary_pos_emb)
    assert not half_rotations._same(neighbours)
    assert not half_rotations._same(lambda q, k, freqs: (q, k))


def test_heads_that_are_turned_in_part_are_left_to_their_own_function():
    plain = modeling_gpt_neox.apply_rotary_pos_emb
    assert half_rotations._same(plain)
    query, key = torch.randn(2, 1, 3, 5, 16)
    turns = angles()
    with halved((modeling_gpt_neox,)):
        found = modeling_gpt_neox.apply_rotary_pos_emb(query, key, *turns)
    torch.testing.assert_close(found, plain(query, key, *turns))


def angles(dtype=torch.float32):
    angle = torch.rand(1, 5, 4).repeat(1, 1, 2) * 6
    return angle.cos().to(dtype), angle.sin().to(dtype)


@pytest.mark.parametrize("unsqueeze_dim", [1, 2])
def test_heads_and_their_gradients_are_transformers_own(unsqueeze_dim):
    torch.manual_seed(0)
    heads = [torch.randn(1, 5, count, 8, requires_grad=True) for count in (4, 2)]
    shown = [one if unsqueeze_dim == 2 else one.transpose(1, 2) for one in heads]
    # angles whose halves differ, so that none can stand for the other
    cos, sin = torch.randn(2, 1, 5, 8)
    plain = modeling_llama.apply_rotary_pos_emb
    expected = plain(*shown, cos, sin, unsqueeze_dim)
    with halved([modeling_llama]):
        assert modeling_llama.apply_rotary_pos_emb is not plain
        found = modeling_llama.apply_rotary_pos_emb(*shown, cos, sin, unsqueeze_dim)
    assert modeling_llama.apply_rotary_pos_emb is plain
    torch.testing.assert_close(found, expected)
    assert [one.stride() for one in found] == [one.stride() for one in shown]
    weights = [torch.randn_like(one) for one in expected]
    torch.testing.assert_close(
        torch.autograd.grad(found, heads, weights), torch.autograd.grad(expected, heads, weights)
    )


def test_angles_wider_than_the_heads_are_left_to_transformers():
    query, key = torch.randn(2, 1, 3, 5, 8).bfloat16()
    with halved([modeling_llama]):
        found, _ = modeling_llama.apply_rotary_pos_emb(query, key, *angles())
    assert found.dtype is torch.float32


def test_the_function_is_put_back_after_an_exception():
    plain = modeling_llama.apply_rotary_pos_emb
    with pytest.raises(RuntimeError, match="inside"), halved([modeling_llama]):
        raise RuntimeError("inside")
    assert modeling_llama.apply_rotary_pos_emb is plain


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpus_half_precision_is_rounded_no_worse():
    torch.manual_seed(0)
    query, key = torch.randn(2, 1, 3, 5, 8).bfloat16()
    cos, sin = angles(torch.bfloat16)
    plain = modeling_llama.apply_rotary_pos_emb
    exact = torch.stack(plain(query.double(), key.double(), cos.double(), sin.double()))
    there = [one.cuda() for one in (query, key, cos, sin)]
    rounded = torch.stack(plain(*there)).cpu() - exact
    with halved([modeling_llama]):
        found = torch.stack(modeling_llama.apply_rotary_pos_emb(*there)).cpu() - exact
    assert found.abs().max() <= rounded.abs().max() * 1.01
