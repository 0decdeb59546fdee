"""Products of 16-bit matrices on a CPU that has no instructions for them: in fp32, then rounded.

Without AVX512-BF16, AMX or their like PyTorch's 16-bit products are emulated, five to seven times
slower than fp32 ones of the same shape (measured on an AVX-512 Xeon: 118 ms against 25 for 2,048
rows through a map of 576 to 1,536; widened 27).  A 16-bit product is defined as sums in fp32,
rounded once; so operands are widened, multiplied by the fp32 library, and the result is rounded:
the same numbers up to the order of the sums, at the rate of fp32.

The choice depends on processor and shape alone, never on a timing, so a run can be repeated.
"""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

_LEAST_ROWS = 16
"""Rows below which widening a weight costs more than the emulated product."""

_HALVES = (torch.bfloat16, torch.float16)


@contextlib.contextmanager
def widened_halves() -> Iterator[None]:
    """Multiply 16-bit matrices in fp32 if the CPU cannot do better; a decorator too."""
    if all(_native(dtype) for dtype in _HALVES):
        yield
        return
    with _Widened():
        yield


@cache
def _native(dtype: torch.dtype) -> bool:
    """Whether this CPU multiplies matrices of a 16-bit dtype by instructions of its own."""
    if dtype is torch.float16:
        return bool(torch.ops.mkldnn._is_mkldnn_fp16_supported())
    if platform.machine().lower() in ("x86_64", "amd64"):
        # oneDNN says that it supports bf16 on every AVX-512 processor, emulated ones included
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


class _Widened(TorchFunctionMode):
    """Replaces products of a matrix by a 16-bit matrix; passes all else on."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        del types
        if not kwargs and func in _PRODUCTS:
            left, right = args[1:3] if func is torch.addmm else args[:2]
            if _emulated(left, right):
                wide = [arg.float() if isinstance(arg, Tensor) else arg for arg in args]
                return func(*wide).to(left.dtype)
        return func(*args, **(kwargs or {}))


_PRODUCTS = frozenset({F.linear, torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.addmm})


def _emulated(left: Tensor, right: Tensor) -> bool:
    return (
        left.dtype in _HALVES
        and right.dtype is left.dtype
        and left.device.type == "cpu"
        and right.device.type == "cpu"
        and right.ndim == 2
        and left.numel() >= _LEAST_ROWS * left.shape[-1]
        and not _native(left.dtype)
    )
