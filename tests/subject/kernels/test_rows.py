"""Rows are written where they belong, whatever their layout."""

from __future__ import annotations

import pytest
import torch

from pm_audit.subject.kernels.rows import put_rows

DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
    ),
]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("dim", [8, 3])
@pytest.mark.parametrize("gradient", [False, True])
def test_rows_are_written_where_they_belong(device, dtype, dim, gradient):
    torch.manual_seed(0)
    at = torch.tensor([4, 0, 5], device=device)
    # heads before tokens, as attention leaves them
    rows = torch.randn(2, 3, dim, dtype=dtype, device=device, requires_grad=gradient)
    target = torch.randn(7, 2, dim, dtype=dtype, device=device)
    expected = target.clone()
    expected[at] = rows.detach().transpose(0, 1)
    written = put_rows(target, at, rows.transpose(0, 1))
    assert torch.equal(written, expected)
    assert written.requires_grad is gradient
    if gradient:
        written.sum().backward()
        assert torch.equal(rows.grad, torch.ones_like(rows))
