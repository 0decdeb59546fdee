"""Causal decoders with transformers' own classification head (``score``), read at the last token.

Llama, Mistral, Qwen2 and 3, Gemma 2 and 3, GPT-NeoX, GPT-J, GPT-2, OPT, Phi and whatever else
transformers knows as ``*ForSequenceClassification`` with a head named ``score``.  Several labels
are several objectives, of which one must be named or a mixture given.
"""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification

from pm_audit.errors import ModelError
from pm_audit.models.checkpoint import Checkpoint
from pm_audit.models.family import PmFamily, Request
from pm_audit.models.heads import LinearHead, MixedHead, label_names, mixture
from pm_audit.models.library import Library
from pm_audit.models.preference_model import PreferenceModel
from pm_audit.models.text.ending import AS_WRITTEN, BOS
from pm_audit.models.text.layouts import LAYOUTS
from pm_audit.models.text_format import CHAT, TextFormat
from pm_audit.models.transformers_checkpoint import load_strictly, load_tokenizer


def load(request: Request) -> PreferenceModel:
    """Load the model and its head.

    Raises:
        ModelError: weights are missing, the class has no ``score``, or no objective was named.

    """
    model = load_strictly(AutoModelForSequenceClassification, request)
    return assemble(model, load_tokenizer(request), request, sha256=request.checkpoint.sha256())


def assemble(model: Any, tokenizer: Any, request: Request, *, sha256: str) -> PreferenceModel:
    """Take a loaded ``*ForSequenceClassification`` apart into backbone and reward head.

    Raises:
        ModelError: it has no linear ``score``, or several labels and none was named.

    """
    source = request.checkpoint.name
    score = getattr(model, "score", None)
    if not isinstance(score, nn.Linear):
        raise ModelError(f"{source}: {type(model).__name__} has no linear head named score")
    return PreferenceModel.from_backbone(
        model.base_model,
        select(score, request, label_names(model.config.to_dict(), score.out_features)),
        name=source,
        tokenizer=tokenizer,
        text_format=choose_format(request, tokenizer, model.config),
        sha256=sha256,
        objective=request.objective,
        padding_id=model.config.get_text_config().pad_token_id,
        library=Library(model),
    )


def select(score: nn.Linear, request: Request, names: tuple[str, ...]) -> nn.Module:
    """Return a head with one output: the only one, or what the user asked of several."""
    if score.out_features == 1 and request.objective in (None, names[0]):
        return LinearHead(score.weight, score.bias)
    return MixedHead(score, mixture(request.objective, names, source=request.checkpoint.name))


def load_head(request: Request) -> nn.Module:
    """Read the head alone, for another objective of a body that is loaded already."""
    held = request.checkpoint.tensors("score.", wanted={"weight", "bias"})
    outputs, inputs = held["weight"].shape
    score = nn.Linear(inputs, outputs, bias="bias" in held)
    score.load_state_dict(held)
    names = label_names(request.checkpoint.config, outputs)
    return select(score, request, names).to(request.device)


def choose_format(request: Request, tokenizer: Any, config: Any) -> TextFormat:
    """Return the text format asked for; without one, the tokenizer's chat template.

    Raises:
        ModelError: none was asked for and the tokenizer has no template.

    """
    name = request.text_format or (CHAT if tokenizer.chat_template else None)
    if name is None:
        raise ModelError(
            f"{request.checkpoint.name}: the tokenizer has no chat template, so set text_format "
            f"to the one that the PM was trained on: {', '.join(LAYOUTS)}"
        )
    longest = getattr(config.get_text_config(), "max_position_embeddings", None)
    return TextFormat(
        name,
        tokenizer,
        longest=longest if isinstance(longest, int) else None,
        end=request.text_end or AS_WRITTEN,
        start=request.text_start or BOS,
        day=request.day,
    )


def _recognises(checkpoint: Checkpoint) -> bool:
    # heads of several layers are named score.0.weight and belong to another family
    return checkpoint.architecture.endswith("ForSequenceClassification") and (
        "score.weight" in checkpoint.keys or not any("score." in key for key in checkpoint.keys)
    )


def _objectives(checkpoint: Checkpoint) -> tuple[str, ...]:
    config = AutoConfig.from_pretrained(checkpoint.folder, trust_remote_code=False)
    count = int(config.num_labels)
    return label_names(config.to_dict(), count) if count > 1 else ()


FAMILY = PmFamily(
    name="Sequence classification, causal decoders",
    files="`*ForSequenceClassification` with `score.weight`",
    loads=(
        *("Llama", "Mistral", "Qwen2", "Qwen3", "Gemma2", "Gemma3", "GPT-NeoX", "GPT-J"),
        *("GPT-2", "OPT", "Phi"),
    ),
    refuses={"missing `score`": "the head would be random"},
    recognises=_recognises,
    load=load,
    head=load_head,
    objectives=_objectives,
)
