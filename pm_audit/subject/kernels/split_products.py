"""fp32 products on a GPU's 16-bit tensor cores: each operand in two parts.

An SAE encodes in fp32, and a GPU multiplies fp32 fourteen times slower than bf16, so that one
encoder cost a seventh of the clean forward of a 7B body.  A fp32 number is its bf16 rounding plus
the rounding of what that leaves, 16 bits together, and

    left right = high high + high low + low high

in bf16 with sums in fp32 leaves out the product of the low parts: an error of 2**-16 of a term.
The stream of a 16-bit body is itself rounded to 2**-9 (bf16) or 2**-11.  The stream of an fp32
body is multiplied in fp32.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_PRODUCTS = frozenset({torch.matmul, Tensor.matmul, Tensor.__matmul__})


@contextlib.contextmanager
def split_products(stream: Tensor) -> Iterator[None]:
    """Multiply fp32 matrices in parts if the stream is of 16 bits and the GPU can."""
    if stream.itemsize > 2 or not _able(stream.device):
        yield
        return
    with _Split():
        yield


def _able(device: torch.device) -> bool:
    """Whether a device can sum bf16 products in fp32, which PyTorch offers from 2.8 on."""
    return (
        device.type == "cuda"
        and torch.version.cuda is not None
        and hasattr(torch.ops.aten.mm, "dtype")
        and torch.cuda.get_device_capability(device) >= (8, 0)
    )


class _Split(TorchFunctionMode):
    """Replaces the product of two fp32 matrices; passes all else on."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        del types
        if func in _PRODUCTS and all(map(_wide_matrix, args)):
            return _product(*args)
        return func(*args, **(kwargs or {}))


def _wide_matrix(operand: Any) -> bool:
    return isinstance(operand, Tensor) and operand.ndim == 2 and operand.dtype is torch.float32


def _product(left: Tensor, right: Tensor) -> Tensor:
    (left_high, left_low), (right_high, right_low) = _parts(left), _parts(right)
    product = _summed_in_fp32(left_high, right_high)
    product += _summed_in_fp32(left_high, right_low)
    product += _summed_in_fp32(left_low, right_high)
    return product


def _parts(whole: Tensor) -> tuple[Tensor, Tensor]:
    high = whole.bfloat16()
    return high, (whole - high).bfloat16()


def _summed_in_fp32(left: Tensor, right: Tensor) -> Tensor:
    return torch.mm(left, right, out_dtype=torch.float32)
