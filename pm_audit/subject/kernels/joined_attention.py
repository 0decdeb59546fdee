"""Attention of all segments of a batch in one call, if the GPU has a kernel for it.

An ablation's segments start where a feature first fires, so that nearly every group of equally
long ones is small, and a GPU spends more on starting a call a group than on attending.  Flash
attention for sequences of unequal length (2307.08691) takes them all at once: keys lie one segment
after the other, and a causal mask ends at the last key of each.  It has no soft cap and serves 16
bits alone; all else is attended group by group.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from pm_audit.subject.kernels.rows import put_rows

_WIDEST_HEAD = 256
_CAUSAL, _RETURN_MASK = True, False


@dataclass(frozen=True, eq=False)
class Joined:
    """Where the segments' keys lie: each one's context, then its new tokens, then the next."""

    keys: Tensor | None
    """[key], index into the clean keys; new tokens keep their place of the clean forward.
    None if no segment has a context, so that the keys are the new tokens'."""
    own: Tensor
    """[token], place of each new token among the keys."""
    queries_before: Tensor
    """[segment + 1], new tokens of all earlier segments."""
    keys_before: Tensor
    """[segment + 1], keys of all earlier segments."""
    most_queries: int
    """Of a segment."""
    most_keys: int
    """Of a segment."""


def serves(query: Tensor, softcap: float | None) -> bool:
    """Whether the kernel takes such queries [token head dim] on their device."""
    dim = query.shape[-1]
    return (
        softcap is None
        and query.dtype in (torch.bfloat16, torch.float16)
        and dim % 8 == 0
        and dim <= _WIDEST_HEAD
        and torch.backends.cuda.flash_sdp_enabled()  # type: ignore[no-untyped-call]
        and has_kernel(query.device)
    )


def attend_joined(
    joined: Joined,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    scaling: float,
    window: int | None,
    clean: tuple[Tensor, Tensor] | None,
    last_only: bool,
) -> Tensor:
    """Attend within each segment and to its context; see ``packed_attention.attend_groups``."""
    device = query.device
    if joined.keys is not None and clean is not None:
        key = _continue(clean[0], joined, key)
        value = _continue(clean[1], joined, value)
    queries_before = joined.queries_before.to(device)
    if last_only:
        queries_before = torch.arange(len(queries_before), dtype=torch.int32, device=device)
    return _kernel(
        query,
        key,
        value,
        queries_before,
        joined.keys_before.to(device),
        1 if last_only else joined.most_queries,
        joined.most_keys,
        scaling,
        window,
    )


def _continue(clean: Tensor, joined: Joined, own: Tensor) -> Tensor:
    """Return keys or values [key kv_head dim] of contexts and new tokens."""
    assert joined.keys is not None
    earlier = clean.index_select(0, joined.keys.to(clean.device))
    return put_rows(earlier, joined.own.to(clean.device), own)


@cache
def has_kernel(device: torch.device) -> bool:
    """Whether a device has the kernel at all."""
    return (
        device.type == "cuda"
        and torch.version.cuda is not None
        and torch.backends.cuda.is_flash_attention_available()
        and torch.cuda.get_device_capability(device) >= (8, 0)
    )


def _kernel(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    queries_before: Tensor,
    keys_before: Tensor,
    most_queries: int,
    most_keys: int,
    scaling: float,
    window: int | None,
) -> Tensor:
    """Call the kernel under the name that it has in every release that pm_audit runs on.

    ``torch.nn.attention.varlen`` is the public one from 2.10.
    """
    attended: Tensor = torch.ops.aten._flash_attention_forward(
        query,
        key,
        value,
        queries_before,
        keys_before,
        most_queries,
        most_keys,
        0.0,
        _CAUSAL,
        _RETURN_MASK,
        scale=scaling,
        window_size_left=None if window is None else window - 1,
        window_size_right=None if window is None else 0,
    )[0]
    return attended
