"""Fused attention without cuDNN's kernel, which builds a plan for every new shape.

On Hopper and Blackwell PyTorch prefers cuDNN's attention for 16-bit operands
(``check_prefer_cudnn_attention`` in ATen's ``transformers/cuda/sdp_utils.cpp``).  Its plans are
kept by shape, and building one takes some hundreds of milliseconds
(https://github.com/pytorch/pytorch/pull/155958).  An audit has a new shape for nearly every group
of segments in every batch and would build thousands of them; in fp32, which cuDNN does not serve,
it builds none.  The other kernels need no plan.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def kernels_without_plans() -> Iterator[None]:
    """Keep cuDNN's attention from being chosen; usable as a decorator too."""
    before = torch.backends.cuda.cudnn_sdp_enabled()  # type: ignore[no-untyped-call]
    torch.backends.cuda.enable_cudnn_sdp(enabled=False)
    try:
        yield
    finally:
        torch.backends.cuda.enable_cudnn_sdp(before)
