"""The logit lens: which tokens a direction of the stream promotes.

The direction is read as if it were the stream after the last block, through the final norm and the
unembedding (nostalgebraist, 2020).  Preference models are stored without a language-model head, so
only one whose unembedding is its embedding has it.  The lens leaves out all blocks that come after
the direction: the lower the layer, and the more blocks were cut off, the less it says.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pm_audit.subject.decoder import Decoder
from pm_audit.subject.preference_model import PreferenceModel

PROMOTED = 5
"""Tokens kept for each direction."""

_TRIED = 4 * PROMOTED
"""Strongest tokens among which those that a reader can read are kept."""


def promoted_tokens(pm: PreferenceModel, directions: Sequence[Tensor]) -> list[tuple[str, ...]]:
    """Return the tokens that each direction [hidden] promotes most, without special tokens.

    They are empty for a PM whose unembedding is not known.
    """
    unembedding = _unembedding(pm.decoder)
    if unembedding is None or not directions:
        return [()] * len(directions)
    nowhere = torch.zeros(len(directions), dtype=torch.long, device=pm.device)
    with torch.no_grad():
        stream = torch.stack([direction.to(pm.device, pm.dtype) for direction in directions])
        states = pm.decoder.finish(stream, nowhere, nowhere)
        logits = states.to(unembedding.device) @ unembedding.T
        strongest = logits.topk(min(_TRIED, len(unembedding)), dim=1).indices
    return [_readable(pm, ids) for ids in strongest.tolist()]


def _unembedding(decoder: Decoder) -> Tensor | None:
    """Return the unembedding [token hidden] if it is the embedding."""
    config = decoder.backbone.config.get_text_config()
    weight: Tensor = decoder.backbone.get_input_embeddings().weight
    tied = bool(getattr(config, "tie_word_embeddings", False))
    return weight if tied and weight.shape[1] == decoder.hidden_size else None


def _readable(pm: PreferenceModel, token_ids: list[int]) -> tuple[str, ...]:
    added = pm.tokenizer.added_tokens_decoder
    texts = (pm.tokenizer.decode([token]).strip() for token in token_ids if token not in added)
    kept = (text for text in texts if text and text.isprintable() and "\ufffd" not in text)
    return tuple(dict.fromkeys(kept))[:PROMOTED]
