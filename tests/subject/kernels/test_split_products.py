"""Products in two parts come close to fp32's, far below a 16-bit stream's own rounding."""

from __future__ import annotations

import pytest
import torch

from pm_audit.forward.features import active_features
from pm_audit.subject.kernels import split_products as module
from pm_audit.subject.kernels.split_products import split_products
from tests.engine_lab import build_sae


@pytest.fixture
def able(monkeypatch):
    """Let the CPU stand for a GPU, and count the products."""
    counted = []

    def summed(left, right):
        assert left.dtype is right.dtype is torch.bfloat16
        counted.append(left.shape)
        return left.float() @ right.float()

    monkeypatch.setattr(module, "_able", lambda _: True)
    monkeypatch.setattr(module, "_summed_in_fp32", summed)
    return counted


def test_an_encoder_reads_a_narrow_stream_in_parts(able):
    sae = build_sae(1)
    torch.manual_seed(0)
    stream = torch.randn(40, 32).bfloat16()
    found = active_features(sae, stream)
    assert len(able) == 3
    expected = sae.encode(stream.float()).features
    dense = torch.zeros_like(expected)
    dense[found.token, found.latent] = found.value
    # 2**-16 of terms of size one, summed over 32 of them
    assert (dense - expected).abs().max() < 1e-4
    assert (dense != expected).any()


def test_a_wide_stream_is_multiplied_in_fp32(able):
    stream = torch.randn(40, 32)
    active_features(build_sae(1), stream)
    assert not able


def test_nothing_is_split_on_a_cpu():
    stream = torch.randn(40, 32).bfloat16()
    left, right = torch.randn(2, 32, 32)
    with split_products(stream):
        assert torch.equal(left @ right, torch.mm(left, right))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpus_parts_come_close_to_the_exact_product():
    torch.manual_seed(0)
    left, right = torch.randn(512, 4096, device="cuda"), torch.randn(4096, 1024, device="cuda")
    exact = left.double() @ right.double()
    with split_products(left.bfloat16()):
        split = left @ right
    assert (split - exact).abs().max() < 1e-4 * exact.std()
