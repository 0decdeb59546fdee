"""Causal decoders with transformers' own classification head (``score``), read at the last token.

Llama, Mistral, Qwen2 and 3, Gemma 2 and 3, GPT-NeoX, GPT-J, GPT-2, OPT, Phi and others that
transformers has as ``*ForSequenceClassification`` with a head named ``score``.  Several labels
are several objectives: the user names one or a mixture.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import transformers
from torch import nn
from transformers import AutoModelForSequenceClassification
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES

from pm_audit.errors import ModelError
from pm_audit.loading.checkpoint.folder import Checkpoint
from pm_audit.loading.checkpoint.with_transformers import load_strictly, load_tokenizer
from pm_audit.loading.pms.family import PmFamily, Request
from pm_audit.subject.heads import LinearHead, MixedHead, label_names, mixture
from pm_audit.subject.library import Library
from pm_audit.subject.preference_model import PreferenceModel

_BARE = re.compile(r"[A-Z]\w*Model")


def load(request: Request) -> PreferenceModel:
    """Load the model and its head, a linear ``score``."""
    checkpoint = request.checkpoint
    if "score.bias" in checkpoint.keys:
        raise ModelError(
            f"{checkpoint.name}: the file holds score.bias, and the score of "
            f"{transformers_class(checkpoint)} has no bias, so that transformers drops it; remove "
            "score.bias from the file: all rewards move by one constant, gaps do not"
        )
    model = load_classifier(request, "score.weight")
    return assemble(model, load_tokenizer(request), request, sha256=checkpoint.sha256())


def load_classifier(request: Request, *heads: str) -> Any:
    """Load transformers' ``*ForSequenceClassification`` with as many outputs as its head has."""
    labels = _labels_unsaid(request.checkpoint, *heads)
    options = {} if labels is None else {"num_labels": labels}
    return load_strictly(AutoModelForSequenceClassification, request, options=options)


def transformers_class(checkpoint: Checkpoint) -> str | None:
    """Return transformers' own ``*ForSequenceClassification`` that the checkpoint is of.

    It is the first class in config.json, or that of the model type if config.json has no class or
    one without a head (a language model, a bare body), as merging tools leave it.  None for any
    other class: what its code does with the head is not known.
    """
    named = checkpoint.architecture
    if named.endswith("ForSequenceClassification") and hasattr(transformers, named):
        return named
    kind = checkpoint.config.get("model_type")
    headless = named.endswith(("ForCausalLM", "ForMaskedLM")) or bool(_BARE.fullmatch(named))
    if (not named or (headless and hasattr(transformers, named))) and isinstance(kind, str):
        found = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES.get(kind)
        return found if isinstance(found, str) else None
    return None


def _outputs(checkpoint: Checkpoint, heads: Iterable[str]) -> tuple[str, int] | None:
    """Return the first of the heads that the file holds, and its number of outputs."""
    found = next((name for name in heads if name in checkpoint.keys), None)
    shape = checkpoint.stored[found].shape if found else ()
    return (found, shape[0]) if found and len(shape) == 2 else None


def objectives_of(checkpoint: Checkpoint, *heads: str) -> tuple[str, ...]:
    """Return the names of a head's outputs; empty if there is one."""
    _, count = _outputs(checkpoint, heads) or ("", 1)
    return label_names(checkpoint.config, count) if count > 1 else ()


def _labels_unsaid(checkpoint: Checkpoint, *heads: str) -> int | None:
    """Return how many outputs the head has, if config.json does not say; else None."""
    found = _outputs(checkpoint, heads)
    if found is None:
        return None  # loading says what is missing
    name, rows = found
    config = checkpoint.config
    said: object = config.get("num_labels")
    if said is None and isinstance(config.get("id2label"), Mapping):
        said = len(config["id2label"])
    if said is None:
        return rows
    if said != rows:
        raise ModelError(
            f"{checkpoint.name}: config.json says {str(said)[:40]} labels (num_labels or id2label) "
            f"and {name} has {rows} rows; set num_labels to {rows} and let id2label name as many, "
            "or remove num_labels, id2label and label2id"
        )
    return None


def assemble(model: Any, tokenizer: Any, request: Request, *, sha256: str) -> PreferenceModel:
    """Return a loaded ``*ForSequenceClassification`` as backbone and reward head."""
    source = request.checkpoint.name
    score = getattr(model, "score", None)
    if not isinstance(score, nn.Linear):
        raise ModelError(
            f"{source}: {type(model).__name__} has no linear head named score; use a PM that has"
        )
    return PreferenceModel.from_backbone(
        model.base_model,
        _select(score, request, label_names(model.config.to_dict(), score.out_features)),
        name=source,
        tokenizer=tokenizer,
        text_format=request.format(tokenizer, model.config),
        sha256=sha256,
        objective=request.objective,
        padding_id=model.config.get_text_config().pad_token_id,
        library=Library(model),
        notes=class_note(request.checkpoint),
    )


def class_note(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Return notes if config.json names another class than was loaded, or code."""
    taken = transformers_class(checkpoint)
    if checkpoint.adapter is not None or taken is None:
        return ()
    notes = []
    if taken != checkpoint.architecture:
        notes.append(
            f"config.json names {checkpoint.architecture or 'no class'}; read as {taken}, which "
            "transformers has for its model type, because the file holds its head"
        )
    if checkpoint.config.get("auto_map"):
        notes.append(
            f"config.json names code of its own (auto_map), which is not run; read as {taken} of "
            "transformers"
        )
    return tuple(notes)


def _select(score: nn.Linear, request: Request, names: tuple[str, ...]) -> nn.Module:
    """Return a head with one output: the only one, or what the user named of several."""
    if score.out_features == 1 and request.objective in (None, names[0]):
        return LinearHead(score.weight, score.bias)
    return MixedHead(score, mixture(request.objective, names, source=request.checkpoint.name))


def _head(request: Request) -> nn.Module:
    """Return another objective's head for a body that is loaded already."""
    held = request.checkpoint.tensors("score.", wanted={"weight"})
    outputs, inputs = held["weight"].shape
    score = nn.Linear(inputs, outputs, bias=False)
    score.load_state_dict(held)
    names = label_names(request.checkpoint.config, outputs)
    return _select(score, request, names).to(request.device)


def _recognises(checkpoint: Checkpoint) -> bool:
    if checkpoint.gguf is not None or transformers_class(checkpoint) is None:
        return False
    # heads of several layers are named score.0.weight and belong to another family
    if "score.weight" in checkpoint.keys:
        return True
    named = checkpoint.architecture.endswith("ForSequenceClassification")
    return named and not any("score." in key for key in checkpoint.keys)


FAMILY = PmFamily(
    name="Sequence classification, causal decoders",
    files="`*ForSequenceClassification` with `score.weight`",
    loads=(
        *("Llama", "Mistral", "Qwen2", "Qwen3", "Gemma2", "Gemma3", "GPT-NeoX", "GPT-J"),
        *("GPT-2", "OPT", "Phi"),
    ),
    refuses={
        "missing `score`": "the head would be random",
        "`score.bias`": "transformers' classes have none and drop it",
        "another class with a `score`": "what its own code does with it is not known",
    },
    recognises=_recognises,
    load=load,
    head=_head,
    objectives=lambda checkpoint: objectives_of(checkpoint, "score.weight"),
)
