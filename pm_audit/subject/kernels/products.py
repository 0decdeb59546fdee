"""Matrix products in fp32 on a CPU, by the library that uses all of its width.

PyTorch hands fp32 products to MKL, which takes its AVX2 path on processors that are not Intel's
and so leaves half of an AVX-512 machine idle; oneDNN, which ships with PyTorch as well, looks at
what the processor can do.  On AVX-512 processors of other makers, products of enough rows go
to oneDNN: the same fp32 sums in another order.  Measured on a Zen 5 core: 205 against 96
GFLOP/s.  On a Xeon MKL is faster by 8% and stays in use.

The choice depends on the processor alone, never on a timing, so a run can be repeated.
"""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

_LEAST_ROWS = 32
"""Rows below which the cost of a call outweighs the rate of its products."""


@contextlib.contextmanager
def wide_products() -> Iterator[None]:
    """Route fp32 products on the CPU to oneDNN if that is the wider library."""
    if not _wider():
        yield
        return
    with _Routed():
        yield


@cache
def _wider() -> bool:
    built = bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
    wide = torch.backends.cpu.get_cpu_capability() == "AVX512"
    return built and wide and "GenuineIntel" not in _processor()


def _processor() -> str:
    """Return the system's description of the processor, which names its maker."""
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor()


class _Routed(TorchFunctionMode):
    """Replaces ``linear`` and the product of two matrices; passes all else on."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        del types
        if not kwargs:
            if func is F.linear and _routable(args[0], args[1]):
                return _product(args[0], args[1], args[2] if len(args) > 2 else None)
            if func in _MATMUL and args[1].ndim == 2 and _routable(args[0], args[1]):
                return _product(args[0], args[1].t(), None)
        return func(*args, **(kwargs or {}))


_MATMUL = frozenset({torch.matmul, Tensor.matmul, Tensor.__matmul__})


def _routable(left: Tensor, weight: Tensor) -> bool:
    return (
        left.dtype is torch.float32
        and weight.dtype is torch.float32
        and left.device.type == "cpu"
        and weight.device.type == "cpu"
        and not weight.requires_grad
        and weight.numel() > 0
        and left.numel() >= _LEAST_ROWS * left.shape[-1]
    )


def _product(left: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return ``left`` [... in] times ``weight`` [out in] plus ``bias`` [out]."""
    if left.requires_grad and torch.is_grad_enabled():
        product: Tensor = _Product.apply(left, weight)  # type: ignore[no-untyped-call]
        return product if bias is None else product + bias
    return _multiply(left, weight, bias)


def _multiply(left: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(left, weight, bias, "none", [], "")
    return product


class _Product(torch.autograd.Function):
    """The product with a constant weight, and its gradient, by the same library."""

    @staticmethod
    def forward(ctx: Any, left: Tensor, weight: Tensor) -> Tensor:
        ctx.weight = weight
        return _multiply(left, weight)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _multiply(gradients[0].contiguous(), ctx.weight.t()), None
