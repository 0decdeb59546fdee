"""Bidirectional encoders with a classifier on the first token: DeBERTa, BERT and RoBERTa styles.

Prompt and completion are a text pair.  Every token sees the completion, the prompt's included, so
nothing of a row can be shared or replayed from a position on: rewards and the preflight work, and
an audit that ablates features is refused.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from pm_audit.errors import ModelError
from pm_audit.loading.checkpoint.folder import Checkpoint
from pm_audit.loading.checkpoint.with_transformers import load_tokenizer
from pm_audit.loading.pms.family import PmFamily, Request
from pm_audit.loading.pms.sequence_classification import (
    class_note,
    load_classifier,
    objectives_of,
    transformers_class,
)
from pm_audit.subject.encoder import Encoder, FirstTokenHead
from pm_audit.subject.heads import MixedHead, label_names, mixture
from pm_audit.subject.library import Library
from pm_audit.subject.preference_model import PreferenceModel, Readout
from pm_audit.text.text_format import PAIR, TextFormat

_TYPES = "token_type_ids"
_HEADS = ("classifier.weight", "classifier.out_proj.weight")
KINDS = ("DebertaV2", "Deberta", "Bert", "Roberta", "XLMRoberta", "Camembert")


def _load(request: Request) -> PreferenceModel:
    checkpoint = request.checkpoint
    model = load_classifier(request, *_HEADS)
    backbone = model.base_model
    pooler = getattr(model, "pooler", None) or getattr(backbone, "pooler", None)
    head: nn.Module = FirstTokenHead(pooler, model.classifier)
    names = label_names(model.config.to_dict(), int(model.config.num_labels))
    if len(names) > 1:
        head = MixedHead(head, mixture(request.objective, names, source=checkpoint.name))
    backbone.eval().requires_grad_(requires_grad=False)
    tokenizer = load_tokenizer(request)
    encoder = Encoder(backbone)
    text_format = request.text.bound(tokenizer, PAIR, longest=_longest(encoder, tokenizer))
    return PreferenceModel(
        name=checkpoint.name,
        decoder=_segmented(encoder, text_format, name=checkpoint.name),
        head=head.eval().float().requires_grad_(requires_grad=False),
        tokenizer=tokenizer,
        text_format=text_format,
        sha256=checkpoint.sha256(),
        objective=request.objective,
        readout=Readout.FIRST,
        library=Library(model.eval()),
        notes=(*class_note(checkpoint), *_unmarked(encoder, text_format)),
    )


def _knows_types(encoder: Encoder, form: TextFormat) -> bool:
    return form.name == PAIR and getattr(encoder.backbone.config, "type_vocab_size", 0) >= 2


def _unmarked(encoder: Encoder, form: TextFormat) -> tuple[str, ...]:
    """Return a note if both texts of a pair are read as of one type and the model knows two."""
    if not _knows_types(encoder, form) or _TYPES in form.tokenizer.model_input_names:
        return ()
    return (
        "the tokenizer gives no token types (model_input_names), so that both texts of a pair "
        "are of type 0, as transformers reads them",
    )


def _segmented(encoder: Encoder, form: TextFormat, *, name: str) -> Encoder:
    """Return the encoder with the token types that its tokenizer gives it, or with none.

    A model may know token types that its tokenizer never gives: transformers then reads all
    tokens as of type 0.
    """
    tokenizer = form.tokenizer
    if not _knows_types(encoder, form) or _TYPES not in tokenizer.model_input_names:
        return encoder
    given = tokenizer("a b", "c d")
    if not any(given[_TYPES]):
        return encoder
    marked = replace(encoder, segmented=True)
    ids = torch.tensor([given["input_ids"]])
    own = marked.segments(ids, tokenizer.sep_token_id)
    if own is None or own[0].tolist() != given[_TYPES]:
        raise ModelError(
            f"{name}: the tokenizer gives a pair of texts the token types "
            f"{given[_TYPES]}, expected 0 up to its first sep_token and 1 after it; save "
            "it with the sep_token and the post-processor that the PM was trained with"
        )
    return marked


def _longest(encoder: Encoder, tokenizer: Any) -> int:
    # RoBERTa's positions start after its padding index: 514 of them hold 512 tokens
    positions = int(encoder.backbone.config.max_position_embeddings) - encoder.first_position
    longest = tokenizer.model_max_length
    return min(positions, int(longest)) if isinstance(longest, int | float) else positions


def _recognises(checkpoint: Checkpoint) -> bool:
    taken = transformers_class(checkpoint)
    known = taken in {f"{kind}ForSequenceClassification" for kind in KINDS}
    headed = any(key.startswith("classifier.") for key in checkpoint.keys)
    return checkpoint.is_whole and known and (headed or taken == checkpoint.architecture)


FAMILY = PmFamily(
    name="Encoders",
    files="`*ForSequenceClassification` with `classifier`",
    loads=tuple(f"{kind} (rewards and preflight)" for kind in KINDS),
    refuses={
        "ablation of features": "every token sees the completion, so that a prompt's states differ "
        "from row to row and no clean key or value of one could be replayed with another"
    },
    recognises=_recognises,
    load=_load,
    objectives=lambda checkpoint: objectives_of(checkpoint, *_HEADS),
)
