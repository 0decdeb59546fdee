"""The upper blocks of a PM, trained by themselves on the stream that the frozen ones below give.

What lies below a block that is not trained never changes, so it is computed once a text and then
replayed: a step costs the upper blocks only.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from recipes.train.low_rank import LowRankLinear
from recipes.train.reward_model import Batch, RewardModel, collate

ROWS = 32
"""Texts of one forward; they come in order of length, so that little is padding."""


@dataclass(frozen=True, eq=False)
class Stream:
    """One text, read as far as the lowest trained block."""

    ids: Tensor
    """[token]"""
    hidden: Tensor
    """[token hidden], what goes into that block."""


class _Replayed(nn.Module):
    """Stands for the blocks below: gives out what they gave, [row token hidden]."""

    hidden: Tensor

    def forward(self, _embedded: Tensor, **_: object) -> Tensor:
        """Return the stream in place of the embeddings that come in."""
        return self.hidden


class UpperBlocks(nn.Module):
    """The blocks of a PM from ``first`` up, its norm and its head; only LoRA factors are trained.

    Args:
        backbone: with LoRA factors in place.
        head: [1 hidden]; it is not trained.
        first: lowest block that is trained, counted from 0.

    """

    def __init__(self, backbone: PreTrainedModel, head: Tensor, *, first: int) -> None:
        super().__init__()
        self.whole = RewardModel(backbone, head.shape[1])
        self.whole.head.weight.data.copy_(head)
        self.requires_grad_(requires_grad=False)
        self._lower, self._upper = backbone.layers[:first], backbone.layers[first:]
        self._replayed = _Replayed()
        for block in self._upper.modules():
            if isinstance(block, LowRankLinear):
                block.up.requires_grad = True
                block.down.requires_grad = True

    @torch.no_grad()
    def read(
        self, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], *, most: int
    ) -> list[Stream]:
        """Run the blocks below over texts of at most ``most`` tokens; in the order given."""
        order = sorted(range(len(texts)), key=lambda at: len(texts[at]))
        streams: list[Stream | None] = [None] * len(texts)
        for start in range(0, len(order), ROWS):
            rows = order[start : start + ROWS]
            batch = collate(tokenizer, [texts[at] for at in rows], most, torch.device("cpu"))
            with self._made_of(self._lower, norm=nn.Identity()):
                hidden = self.whole.backbone(input_ids=batch.ids, use_cache=False)[0]
            for row, at in enumerate(rows):
                length = int(batch.last[row]) + 1
                ids = batch.ids[row, :length].clone()
                streams[at] = Stream(ids, hidden[row, :length].clone())
        return [stream for stream in streams if stream is not None]

    def forward(self, streams: Sequence[Stream]) -> Tensor:
        """Return rewards [text], fp32, in the order given."""
        order = sorted(range(len(streams)), key=lambda at: len(streams[at].ids))
        parts = [
            self._rewards([streams[at] for at in order[start : start + ROWS]])
            for start in range(0, len(order), ROWS)
        ]
        back = torch.empty(len(order), dtype=torch.long)
        back[torch.tensor(order)] = torch.arange(len(order))
        return torch.cat(parts)[back]

    def _rewards(self, streams: Sequence[Stream]) -> Tensor:
        pad = nn.utils.rnn.pad_sequence
        self._replayed.hidden = pad([stream.hidden for stream in streams], batch_first=True)
        ids = pad([stream.ids for stream in streams], batch_first=True)
        last = torch.tensor([len(stream.ids) - 1 for stream in streams])
        with self._made_of(nn.ModuleList([self._replayed, *self._upper])):
            rewards: Tensor = self.whole(Batch(ids, last))
        return rewards

    @contextlib.contextmanager
    def _made_of(self, blocks: nn.Module, *, norm: nn.Module | None = None) -> Iterator[None]:
        """Give the backbone other blocks, and another norm, for a while."""
        backbone = self.whole.backbone
        layers, own_norm = backbone.layers, backbone.norm
        backbone.layers, backbone.norm = blocks, norm or own_norm
        try:
            yield
        finally:
            backbone.layers, backbone.norm = layers, own_norm
