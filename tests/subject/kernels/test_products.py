"""Products on the CPU: the wider library gives the same sums, and only while it is asked to."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from pm_audit.subject.kernels import products
from pm_audit.subject.kernels.products import wide_products

DECIDE = products._wider
"""The decision itself, which every other test takes out of the processor's hands."""


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Route whatever the processor: oneDNN is right everywhere, if not always faster."""
    if not torch.backends.mkldnn.is_available():
        pytest.fail("PyTorch's CPU wheels hold oneDNN; this build does not")
    monkeypatch.setattr(products, "_wider", lambda: True)


@pytest.fixture
def routed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Shapes that went to oneDNN."""
    seen: list[tuple[int, ...]] = []
    original = products._multiply

    def recorded(
        left: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
    ) -> torch.Tensor:
        seen.append(tuple(left.shape))
        return original(left, weight, bias)

    monkeypatch.setattr(products, "_multiply", recorded)
    return seen


def _parts() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = (2, 40, 24), (16, 24), (16,)
    left, weight, bias = (torch.randn(*shape, generator=generator) for shape in shapes)
    return left, weight, bias


def test_linear_and_matrix_products_are_the_same_sums(routed: list[tuple[int, ...]]) -> None:
    left, weight, bias = _parts()
    with wide_products():
        biased, bare = F.linear(left, weight, bias), F.linear(left, weight)
        product = left[0] @ weight.T
    assert routed == [(2, 40, 24), (2, 40, 24), (40, 24)]
    torch.testing.assert_close(biased, F.linear(left, weight, bias), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(bare, F.linear(left, weight), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(product, left[0] @ weight.T, atol=1e-5, rtol=1e-5)


def test_gradients_are_the_same(routed: list[tuple[int, ...]]) -> None:
    left, weight, bias = _parts()
    gradients = []
    for routes in (False, True):
        leaf = left.clone().requires_grad_()
        if routes:
            with wide_products():
                torch.tanh(F.linear(leaf, weight, bias)).sum().backward()
        else:
            torch.tanh(F.linear(leaf, weight, bias)).sum().backward()
        assert leaf.grad is not None
        gradients.append(leaf.grad)
    assert routed == [(2, 40, 24), (2, 40, 16)]
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        lambda left, weight: (left[:, :3], weight),
        lambda left, weight: (left.double(), weight.double()),
        lambda left, weight: (left.bfloat16(), weight.bfloat16()),
        lambda left, weight: (left, weight.clone().requires_grad_()),
    ],
    ids=["few rows", "double", "half", "trained weight"],
)
def test_other_products_stay_where_they_were(change, routed: list[tuple[int, ...]]) -> None:
    left, weight = change(*_parts()[:2])
    with wide_products():
        product = F.linear(left, weight)
    assert not routed
    assert torch.equal(product, F.linear(left, weight))


def test_nothing_is_routed_after_an_exception(routed: list[tuple[int, ...]]) -> None:
    left, weight, _ = _parts()
    with pytest.raises(RuntimeError, match="inside"), wide_products():
        raise RuntimeError("inside")
    F.linear(left, weight)
    assert not routed


def test_a_processor_without_the_width_keeps_its_library(
    monkeypatch: pytest.MonkeyPatch, routed: list[tuple[int, ...]]
) -> None:
    monkeypatch.setattr(products, "_wider", lambda: False)
    left, weight, _ = _parts()
    with wide_products():
        F.linear(left, weight)
    assert not routed


@pytest.mark.parametrize(
    ("maker", "capability", "wider"),
    [("AuthenticAMD", "AVX512", True), ("GenuineIntel", "AVX512", False), ("", "AVX2", False)],
)
def test_products_are_routed_where_mkl_would_leave_width_idle(
    monkeypatch: pytest.MonkeyPatch, maker: str, capability: str, *, wider: bool
) -> None:
    monkeypatch.setattr(products, "_processor", lambda: f"vendor_id\t: {maker}\n")
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    DECIDE.cache_clear()
    try:
        assert DECIDE() is wider
    finally:
        DECIDE.cache_clear()
