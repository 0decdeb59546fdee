"""Gates: a small network that reads the prompt weighs the objectives (ArmoRM, 2406.12845).

The gate reads the final state at the token that opens the header of the answer, the last one that
belongs to the prompt as the chat template writes it.  That token stands before the completion, so
its state, and with it every weight, is the same under any intervention on completion tokens: a
gated reward is a linear head of its own for each prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pm_audit.errors import ModelError

HEADERS = {
    "llama": "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    "gemma2": "<end_of_turn>\n<start_of_turn>model\n",
}
"""By the body's type: what the chat template writes between the prompt and the answer."""


class Gate(nn.Module):
    """The network that weighs the objectives, and where it reads."""

    def __init__(
        self, layers: nn.Module, *, temperature: float, scale: float, header: Sequence[int]
    ) -> None:
        super().__init__()
        self.layers, self.temperature, self.scale = layers, temperature, scale
        self.header = list(header)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map final states at the gate's token [row hidden] to weights [row objective], in fp32."""
        weight = next(self.layers.parameters())
        outputs = self.layers(hidden.to(weight.device, torch.float32))
        return F.softmax(outputs / self.temperature, dim=-1) * self.scale

    def position(self, token_ids: Sequence[int]) -> int:
        """Return where the gate reads a row: the first token of the last answer's header.

        Raises:
            ModelError: the text has no such header.

        """
        size = len(self.header)
        for first in range(len(token_ids) - size, -1, -1):
            if list(token_ids[first : first + size]) == self.header:
                return first
        raise ModelError(
            "the gate reads the prompt at the answer's header of the chat template, and this text "
            "has none; set text_format to chat"
        )


class GatedHead(nn.Module):
    """Reward is the sum of the objectives, each times the gate's weight for the prompt."""

    def __init__(self, directions: Tensor, gate: Gate) -> None:
        super().__init__()
        self.directions = nn.Parameter(directions.detach().float())
        self.gate = gate

    def forward(self, hidden: Tensor, weights: Tensor) -> Tensor:
        """Map states [row hidden] and gate weights [row objective] to rewards [row]."""
        rewards: Tensor = (hidden @ self.directions.T * weights.to(hidden.device)).sum(dim=-1)
        return rewards


def header_tokens(tokenizer: Any, model_type: str, *, source: str) -> list[int]:
    """Return the token ids of the answer's header for a body of this type.

    Raises:
        ModelError: no gated model of this type is known.

    """
    if model_type not in HEADERS:
        raise ModelError(
            f"{source}: where a gate on a body of type {model_type!r} reads is not known (known: "
            f"{', '.join(HEADERS)}); name an objective or a fixed mixture"
        )
    ids: list[int] = tokenizer(HEADERS[model_type], add_special_tokens=False).input_ids
    return ids
