"""Causal attention over one flat row of tokens that belong to many sequences.

Every product of a block runs on all tokens at once; only attention needs to know which tokens
belong together.  A ``SegmentGroup`` is a run of equally long segments: the new tokens of each
attend to its context (keys and values computed earlier, perhaps by another sequence that shares
them) and causally to each other.  Contexts of unequal length are padded on the left and masked,
so that one call serves the whole group and distances between positions stay right.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from pm_audit.subject.kernels.joined_attention import Joined, attend_joined, serves


@dataclass(frozen=True, slots=True)
class AttentionKind:
    """How one block's attention departs from softmax(query key) value."""

    scaling: float
    """Factor of query times key."""
    window: int | None = None
    """Tokens that a query sees, itself included; None if it sees all."""
    softcap: float | None = None
    """Scores become ``softcap * tanh(score / softcap)``; None if they stay."""


Attend = Callable[[Tensor, Tensor, Tensor, AttentionKind], Tensor]
"""(query [token head dim], key and value [token kv_head dim], kind) -> [token head dim]."""


@dataclass(frozen=True, eq=False)
class SegmentGroup:
    """Consecutive segments of equal length within the flat row."""

    first: int
    """Flat index, within this batch, of the group's first token."""
    count: int
    """Number of segments."""
    length: int
    """New tokens of each segment."""
    context: Tensor | None
    """[segment context], index into the clean keys, right-aligned; None without any context."""
    context_length: Tensor | None
    """[segment], entries of ``context`` that count; None if all do."""
    masks: dict[tuple[int, int | None, int, torch.dtype], Tensor | None] = field(
        default_factory=dict
    )
    """Masks made so far, by queries, window, heads a key serves, and dtype."""

    def mask(self, queries: int, window: int | None, tiled: int, like: Tensor) -> Tensor | None:
        """Return what to add to the scores [segment 1 tiled*queries key], or None for nothing.

        ``queries`` is the number of last tokens of each segment that attend.
        """
        key = (queries, window, tiled, like.dtype)
        if key not in self.masks:
            self.masks[key] = self._mask(queries, window, tiled, like)
        return self.masks[key]

    def _mask(self, queries: int, window: int | None, tiled: int, like: Tensor) -> Tensor | None:
        context = 0 if self.context is None else self.context.shape[1]
        keys = context + self.length
        if window is not None and window >= keys:
            window = None
        if queries == 1 and window is None and self.context_length is None:
            return None
        key = torch.arange(keys, device=like.device)
        query = torch.arange(keys - queries, keys, device=like.device)
        hidden = key > query[:, None]
        if window is not None:
            hidden = hidden | (key <= query[:, None] - window)
        hidden = hidden[None]
        if self.context_length is not None:
            length = self.context_length.to(like.device)
            hidden = hidden | (key < context - length[:, None])[:, None]
        bias = torch.zeros(hidden.shape, dtype=like.dtype, device=like.device)
        bias.masked_fill_(hidden, -math.inf)
        return bias.repeat(1, tiled, 1)[:, None]


def attend_groups(
    groups: Sequence[SegmentGroup],
    query: Tensor,
    key: Tensor,
    value: Tensor,
    kind: AttentionKind,
    *,
    clean: tuple[Tensor, Tensor] | None,
    joined: Joined | None = None,
    last_only: bool = False,
) -> Tensor:
    """Attend within each segment and to its context.

    Args:
        groups: covers the flat row without gaps.
        query: [token head dim]; with ``last_only`` [segment head dim], each segment's last token.
        key: [token kv_head dim], new keys of all tokens.
        value: [token kv_head dim]
        kind: scaling, window and soft cap of this block.
        clean: keys and values [clean_token kv_head dim] that contexts index.
        joined: the same segments for one call, if the device has a kernel for it.
        last_only: whether only each segment's last token attends.

    Returns:
        [token head dim], or [segment head dim] with ``last_only``.

    """
    if joined is not None and serves(query, kind.softcap):
        return attend_joined(
            joined,
            query,
            key,
            value,
            scaling=kind.scaling,
            window=kind.window,
            clean=clean,
            last_only=last_only,
        )
    parts = []
    first_query = 0
    for group in groups:
        tokens = slice(group.first, group.first + group.count * group.length)
        queries = 1 if last_only else group.length
        own_query = query[first_query : first_query + group.count * queries]
        first_query += group.count * queries
        own_key = key[tokens].view(group.count, group.length, *key.shape[1:])
        own_value = value[tokens].view(group.count, group.length, *value.shape[1:])
        if group.context is not None and clean is not None:
            own_key = _continue(clean[0], group.context, own_key)
            own_value = _continue(clean[1], group.context, own_value)
        attended = _attend_group(group, own_query, queries, own_key, own_value, kind)
        parts.append(attended)
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def attend_in(
    groups: Sequence[SegmentGroup],
    clean: tuple[Tensor, Tensor] | None,
    *,
    joined: Joined | None = None,
    last_only: bool = False,
) -> Attend:
    """Return ``attend_groups`` with its segments and contexts filled in."""

    def attend(query: Tensor, key: Tensor, value: Tensor, kind: AttentionKind) -> Tensor:
        return attend_groups(
            groups, query, key, value, kind, clean=clean, joined=joined, last_only=last_only
        )

    return attend


def _continue(clean: Tensor, context: Tensor, own: Tensor) -> Tensor:
    """Put each segment's clean context before its own keys or values [segment key kv_head dim]."""
    earlier = clean.index_select(0, context.flatten().to(clean.device)).view(
        *context.shape, *clean.shape[1:]
    )
    return torch.cat([earlier, own], dim=1)


def _attend_group(
    group: SegmentGroup,
    query: Tensor,
    queries: int,
    key: Tensor,
    value: Tensor,
    kind: AttentionKind,
) -> Tensor:
    """Attend in one call; ``query`` [segment*query head dim], keys [segment key kv_head dim]."""
    heads, dim = query.shape[1:]
    kv_heads = key.shape[2]
    tiled = heads // kv_heads
    # Heads that share a key stand next to each other; they become further queries of that key.
    folded = query.view(group.count, queries, kv_heads, tiled, dim).permute(0, 2, 3, 1, 4)
    folded = folded.reshape(group.count, kv_heads, tiled * queries, dim)
    bias = group.mask(queries, kind.window, tiled, query)
    keys, values = key.transpose(1, 2), value.transpose(1, 2)
    if kind.softcap is None:
        attended = F.scaled_dot_product_attention(
            folded, keys, values, attn_mask=bias, scale=kind.scaling
        )
    else:
        scores = torch.matmul(folded, keys.transpose(2, 3)) * kind.scaling
        scores = kind.softcap * torch.tanh(scores / kind.softcap)
        if bias is not None:
            scores = scores + bias
        weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
        attended = torch.matmul(weights, values)
    attended = attended.view(group.count, kv_heads, tiled, queries, dim).permute(0, 3, 1, 2, 4)
    return attended.reshape(group.count * queries, heads, dim)
