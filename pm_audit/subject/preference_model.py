"""A preference model: a body that reads text and a head that turns one state into a reward.

The reward of a row is the head's scalar at the row's last token (or the last that is not padding),
always computed in fp32.  Parameters take no gradients: attribution
differentiates the residual stream alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from pm_audit.subject.decoder import Decoder
from pm_audit.subject.gate import Gate, GatedHead
from pm_audit.subject.kernels.vector_math import settle_vector_math
from pm_audit.subject.library import Library
from pm_audit.subject.stream_edit import StreamEdit


class Readout(StrEnum):
    """The token whose state the head reads."""

    LAST = "last"
    FIRST = "first"
    """Of bidirectional encoders, whose first token sees all the others."""
    MEAN = "mean"
    """Every token: a linear head's outputs averaged over the row."""


@dataclass(frozen=True, eq=False, kw_only=True)
class PreferenceModel:
    """Everything that an audit needs of a preference model."""

    name: str
    decoder: Decoder
    head: nn.Module
    """Maps normalised hidden states [row hidden] to rewards [row], in fp32."""
    tokenizer: Any
    text_format: Any
    """How dialogue and completion are written out and tokenised together."""
    sha256: str
    """Hash of the weights as loaded from disk."""
    objective: str | None = None
    """Which of several objectives the head reads; None if there is one."""
    readout: Readout = Readout.LAST
    """Where the head reads; a reward read at the first token cannot be replayed."""
    padding_id: int | None = None
    """The token that the head takes for padding: it reads the last token that is another, as
    transformers' own heads do.  None: the head reads the last token."""
    library: Library | None = None
    """The whole model as transformers runs it, on the same weights; None for heads of their own."""
    notes: tuple[str, ...] = ()
    """Which conventions the loader took if the checkpoint leaves a choice, and why."""
    edits: tuple[StreamEdit, ...] = ()
    """Lasting edits of completions' streams, of a repaired PM; its plain forward has none."""

    def __post_init__(self) -> None:
        settle_vector_math()

    def __repr__(self) -> str:
        written = getattr(self.text_format, "name", None)
        objective = "" if self.objective is None else f"objective={self.objective!r}, "
        return (
            f"PreferenceModel({self.name!r}, {objective}text_format={written!r}, "
            f"blocks={self.depth}, hidden_size={self.hidden_size}, "
            f"dtype={self.dtype}, device={str(self.device)!r})"
        )

    @classmethod
    def from_backbone(
        cls,
        backbone: PreTrainedModel,
        head: nn.Module,
        *,
        name: str,
        tokenizer: object,
        text_format: object,
        sha256: str,
        objective: str | None = None,
        readout: Readout = Readout.LAST,
        padding_id: int | None = None,
        library: Library | None = None,
        notes: tuple[str, ...] = (),
    ) -> Self:
        """Make a preference model of a transformers backbone (without its own head) and a head.

        Puts both into eval mode, stops parameter gradients, and moves the head to fp32.

        Raises:
            ModelError: the backbone is not a causal decoder that can be spliced.

        """
        backbone.eval().requires_grad_(requires_grad=False)
        head.eval().float().requires_grad_(requires_grad=False)
        return cls(
            name=name,
            decoder=Decoder(backbone),
            head=head,
            tokenizer=tokenizer,
            text_format=text_format,
            sha256=sha256,
            objective=objective,
            readout=readout,
            padding_id=padding_id,
            library=library,
            notes=notes,
        )

    @property
    def gate(self) -> Gate | None:
        """What weighs the head's objectives by the prompt; None without a gate."""
        return self.head.gate if isinstance(self.head, GatedHead) else None

    @property
    def device(self) -> torch.device:
        """Where tokens go in."""
        return self.decoder.device

    @property
    def dtype(self) -> torch.dtype:
        """The body's dtype; head and rewards are fp32."""
        return self.decoder.dtype

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return self.decoder.depth

    @property
    def hidden_size(self) -> int:
        """Width of the residual stream."""
        return self.decoder.hidden_size

    def edits_after(self, layer: int) -> tuple[StreamEdit, ...]:
        """Return the lasting edits of the stream after block ``layer``, in order."""
        return tuple(edit for edit in self.edits if edit.layer == layer)

    def read_length(self, token_ids: Sequence[int]) -> int:
        """Return the number of a row's tokens up to the one that the head reads."""
        if self.padding_id is None:
            return len(token_ids)
        read = (i for i in range(len(token_ids), 0, -1) if token_ids[i - 1] != self.padding_id)
        # a row of padding alone is read at its first token
        return next(read, 1)

    def reward(self, hidden: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return rewards [row] in fp32 of normalised hidden states [row hidden].

        A gated head takes the gate's ``weights`` [row objective] too.
        """
        weight = next(self.head.parameters(), hidden)
        read = hidden.to(weight.device, torch.float32)
        rewards: Tensor = self.head(read) if weights is None else self.head(read, weights)
        return rewards.reshape(hidden.shape[0])
