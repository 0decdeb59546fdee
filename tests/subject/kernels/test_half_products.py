"""16-bit products on a CPU without instructions for them: sums in fp32, rounded once."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from pm_audit.subject.kernels import half_products
from pm_audit.subject.kernels.half_products import widened_halves

DECIDE = half_products._native
ROWS = 40


@pytest.fixture(autouse=True)
def _emulates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Widen whatever the processor can."""
    monkeypatch.setattr(half_products, "_native", lambda _: False)


def parts(dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = (ROWS, 24), (16, 24), (16,)
    left, weight, bias = (torch.randn(*shape, generator=generator).to(dtype) for shape in shapes)
    return left, weight, bias


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_product_is_the_exact_one_rounded_once(dtype: torch.dtype) -> None:
    left, weight, bias = parts(dtype)
    exact = left.double() @ weight.double().T
    step = torch.finfo(dtype).eps
    with widened_halves():
        products = {
            "linear": F.linear(left, weight),
            "matmul": torch.matmul(left, weight.T),
            "operator": left @ weight.T,
        }
        biased = F.linear(left, weight, bias)
        added = torch.addmm(bias, left, weight.T)
    for product in products.values():
        assert product.dtype is dtype
        # half a step of rounding, and what fp32 sums are off by
        torch.testing.assert_close(product.double(), exact, rtol=0.5 * step, atol=1e-5)
    for product in (biased, added):
        torch.testing.assert_close(
            product.double(), exact + bias.double(), rtol=0.5 * step, atol=1e-5
        )


def test_gradients_are_the_emulated_ones_up_to_rounding() -> None:
    left, weight, _ = parts(torch.bfloat16)
    gradients = []
    for widens in (False, True):
        leaf = left.clone().requires_grad_()
        if widens:
            with widened_halves():
                F.linear(leaf, weight).float().square().sum().backward()
        else:
            F.linear(leaf, weight).float().square().sum().backward()
        gradients.append(leaf.grad)
    assert gradients[1].dtype is torch.bfloat16
    torch.testing.assert_close(*gradients, rtol=0.02, atol=0.1)


def test_other_products_stay_where_they_were() -> None:
    left, weight, bias = parts(torch.bfloat16)
    batched = left.view(2, 20, 24)
    pairs = {
        "few rows": (left[:3], weight),
        "fp32": (left.float(), weight.float()),
    }
    for given, by in pairs.values():
        with widened_halves():
            product = F.linear(given, by, bias.to(given.dtype))
        assert torch.equal(product, F.linear(given, by, bias.to(given.dtype)))
    with widened_halves():
        scores = batched @ batched.transpose(1, 2)
    assert torch.equal(scores, batched @ batched.transpose(1, 2))


def test_nothing_is_widened_after_an_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    left, weight, _ = parts(torch.bfloat16)
    with pytest.raises(RuntimeError, match="inside"), widened_halves():
        raise RuntimeError("inside")
    asked: list[object] = []
    monkeypatch.setattr(half_products, "_emulated", lambda *given: asked.append(given))
    F.linear(left, weight)
    assert not asked


@pytest.mark.parametrize(
    ("avx", "amx", "native"), [(True, False, True), (False, True, True), (False, False, False)]
)
def test_the_processor_decides(
    monkeypatch: pytest.MonkeyPatch, *, avx: bool, amx: bool, native: bool
) -> None:
    monkeypatch.setattr(half_products.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    DECIDE.cache_clear()
    try:
        assert DECIDE(torch.bfloat16) is native
    finally:
        DECIDE.cache_clear()
