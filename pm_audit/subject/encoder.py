"""A bidirectional encoder in the place of a decoder: its rewards can be read but not replayed.

Every token sees the completion, so no part of a row can be shared or replayed from a position on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

from torch import Tensor, nn

from pm_audit.errors import ModelError
from pm_audit.subject.decoder import Decoder


@dataclass(frozen=True, eq=False)
class Encoder(Decoder):
    """A bidirectional backbone in the place of a decoder; only its sizes can be read."""

    segmented: bool = False
    """Whether the tokenizer marks the second text of a pair, as BERT's does."""

    def __post_init__(self) -> None:
        """Accept any backbone: none of its blocks is ever replayed."""

    @property
    def blocks(self) -> nn.ModuleList:
        """The blocks, in order."""
        layers: nn.ModuleList = self.backbone.encoder.layer
        return layers

    @property
    def first_position(self) -> int:
        """Position of a row's first token: RoBERTa counts from its padding index plus one."""
        embeddings: Any = self.backbone.embeddings
        counts_on = hasattr(embeddings, "create_position_ids_from_input_ids")
        return int(embeddings.padding_idx) + 1 if counts_on else 0

    def segments(self, token_ids: Tensor, separator: int | None) -> Tensor | None:
        """Return 0 up to a row's first separator and 1 after it [row token], if texts are marked.

        ``separator`` is the id of the token between the texts of a pair.
        """
        if not self.segmented or separator is None:
            return None
        separators = (token_ids == separator).cumsum(dim=1)
        return (separators - (token_ids == separator).long() > 0).long()

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise ModelError(
            f"{type(self.backbone).__name__} is bidirectional: its rewards can be read, but no "
            "feature can be ablated at the completion alone; audit a causal decoder"
        )

    inputs = run = keys_values = run_at = finish = _refuse


class FirstTokenHead(nn.Module):
    """The checkpoint's own pooler and classifier, applied to the first token's state."""

    def __init__(self, pooler: nn.Module | None, classifier: nn.Module) -> None:
        super().__init__()
        self.pooler, self.classifier = pooler, classifier

    def forward(self, hidden: Tensor) -> Tensor:
        """Map the first token's state [row hidden] to outputs [row], or [row objective]."""
        states = hidden[:, None]
        if self.pooler is not None:
            states = self.pooler(states)
        outputs: Tensor = self.classifier(states)
        return outputs.squeeze(-1)
