"""The PM while it is trained: backbone, scalar head, and texts padded into batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

CHARACTERS_A_TOKEN = 4.3
"""Measured on the pairs; sizes batches before anything is tokenised."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Texts padded on the right: ``ids`` [row token], index of the last real token ``last`` [row].

    No mask: under causal attention no real token sees the padding to its right.
    """

    ids: Tensor
    last: Tensor


class RewardModel(nn.Module):
    """Backbone and bias-free scalar head; the reward is read at the last token."""

    def __init__(self, backbone: nn.Module, hidden_size: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(hidden_size, 1, bias=False)
        nn.init.zeros_(self.head.weight)

    def states(self, batch: Batch) -> Tensor:
        """Return the normalised states at the last tokens, [row hidden], fp32."""
        stream = self.backbone(input_ids=batch.ids, use_cache=False)
        rows = torch.arange(len(batch.last), device=batch.last.device)
        states: Tensor = stream.last_hidden_state[rows, batch.last].float()
        return states

    def forward(self, batch: Batch) -> Tensor:
        """Return rewards [row], fp32."""
        rewards: Tensor = self.head(self.states(batch)).squeeze(-1)
        return rewards


def collate(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], most: int, where: torch.device
) -> Batch:
    """Tokenise and pad on the right; texts longer than ``most`` tokens lose their beginning."""
    rows = [ids[-most:] for ids in tokenizer(list(texts)).input_ids]
    width = -(-max(map(len, rows)) // 16) * 16
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    for row, tokens in enumerate(rows):
        ids[row, : len(tokens)] = torch.tensor(tokens)
    last = torch.tensor([len(tokens) - 1 for tokens in rows])
    return Batch(ids.to(where), last.to(where))


def device(model: nn.Module) -> torch.device:
    """Return where a model's weights are."""
    return next(model.parameters()).device
