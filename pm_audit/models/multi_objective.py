"""Heads with several objectives: ArmoRM (2406.12845) and QRM (2409.10164), with their gates.

``regression_layer`` gives one output an objective (QRM: some quantiles of each, whose mean is
taken), ``reward_transform_matrix`` mixes them against verbosity.  An objective is named, a mixture
given, or ``gated`` asks for the published score, whose weights a gate reads off each prompt.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pm_audit.errors import ModelError
from pm_audit.models.bare_backbone import body_config, load_body
from pm_audit.models.checkpoint import Checkpoint
from pm_audit.models.family import PmFamily, Request
from pm_audit.models.gate import Gate, GatedHead, header_tokens
from pm_audit.models.heads import LinearHead, layers_of, mixture
from pm_audit.models.preference_model import PreferenceModel
from pm_audit.models.sequence_classification import choose_format
from pm_audit.models.transformers_checkpoint import load_tokenizer

ARMO_RM = (
    *("helpsteer-helpfulness", "helpsteer-correctness", "helpsteer-coherence"),
    *("helpsteer-complexity", "helpsteer-verbosity", "ultrafeedback-overall_score"),
    *("ultrafeedback-instruction_following", "ultrafeedback-truthfulness"),
    *("ultrafeedback-honesty", "ultrafeedback-helpfulness", "beavertails-is_safe"),
    *("prometheus-score", "argilla-overall_quality", "argilla-judge_lm", "code-complexity"),
    *("code-style", "code-explanation", "code-instruction-following", "code-readability"),
)
"""Names of ArmoRM's objectives in the order of its outputs, from its model card."""

GATED = "gated"
"""As an objective: the published score, each objective weighed by the gate."""

_SCALE = "logit_scale"


def load(request: Request) -> PreferenceModel:
    """Load the body and the objective or mixture that was asked for.

    Raises:
        ModelError: none was named, or weights are missing.

    """
    checkpoint = request.checkpoint
    head = load_head(request)
    config = body_config(checkpoint)
    tokenizer = load_tokenizer(request)
    return PreferenceModel.from_backbone(
        load_body(request, config),
        head,
        name=checkpoint.name,
        tokenizer=tokenizer,
        text_format=choose_format(request, tokenizer, config),
        sha256=checkpoint.sha256(),
        objective=request.objective,
        padding_id=config.pad_token_id,
    )


def load_head(request: Request) -> nn.Module:
    """Return the head of the objective or mixture that was asked for.

    Raises:
        ModelError: none was named, or the gate is not there or not of a known kind.

    """
    checkpoint = request.checkpoint
    names = objectives(checkpoint)
    single = _names(checkpoint)
    directions = _directions(checkpoint, len(single))
    if request.objective == GATED and GATED in names:
        head: nn.Module = GatedHead(directions, _gate(checkpoint, load_tokenizer(request)))
    else:
        weights = mixture(
            request.objective, single, source=checkpoint.name, besides=names[len(single) :]
        )
        head = LinearHead(weights @ directions)
    return head.to(request.device)


def _gate(checkpoint: Checkpoint, tokenizer: Any) -> Gate:
    weights = checkpoint.tensors("gating.")
    scale = weights.pop(_SCALE, torch.ones(1))
    layers = {name.removeprefix("layers."): weight for name, weight in weights.items()}
    kind = str(body_config(checkpoint).model_type)
    return Gate(
        layers_of(layers, source=checkpoint.name),
        temperature=float(checkpoint.config.get("gating_temperature", 10)),
        scale=float(scale),
        header=header_tokens(tokenizer, kind, source=checkpoint.name),
    )


def objectives(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Return the objectives' names, the gated score last where there is a gate.

    The names are the config's, or ArmoRM's own, or numbers.
    """
    gated = any(key.startswith("gating.") for key in checkpoint.keys)
    return (*_names(checkpoint), *((GATED,) if gated else ()))


def _names(checkpoint: Checkpoint) -> tuple[str, ...]:
    count = _count(checkpoint)
    labels = checkpoint.config.get("id2label") or {}
    named = tuple(str(labels.get(str(index), "")) for index in range(count))
    if all(named) and not named[0].startswith("LABEL_") and len(set(named)) == count:
        return named
    return ARMO_RM if count == len(ARMO_RM) else tuple(f"objective_{i}" for i in range(count))


def _count(checkpoint: Checkpoint) -> int:
    rows: int = _regression(checkpoint).shape[0]
    return rows // _quantiles(checkpoint)


def _quantiles(checkpoint: Checkpoint) -> int:
    return int(checkpoint.config.get("num_quantiles") or 1)


def _regression(checkpoint: Checkpoint) -> Tensor:
    held = checkpoint.tensors("regression_layer.", wanted={"weight"})
    if "weight" not in held:
        raise ModelError(
            f"{checkpoint.name}: regression_layer has no weight; fetch the model again"
        )
    return held["weight"].float()


def _directions(checkpoint: Checkpoint, count: int) -> Tensor:
    """Return what each objective reads of the hidden state, [objective hidden]."""
    rows = _regression(checkpoint)
    per_output = rows.reshape(count, -1, rows.shape[1]).mean(dim=1)
    held = checkpoint.tensors("", wanted={"reward_transform_matrix"})
    transform = held.get("reward_transform_matrix")
    directions: Tensor = per_output if transform is None else transform.float().T @ per_output
    return directions


def _recognises(checkpoint: Checkpoint) -> bool:
    return checkpoint.gguf is None and "regression_layer.weight" in checkpoint.keys


FAMILY = PmFamily(
    name="Several objectives",
    files="`regression_layer.weight`, `reward_transform_matrix`",
    loads=("ArmoRM", "QRM, mean over quantiles", "each objective, mixtures, and the gated score"),
    refuses={
        "no objective named": "averaging objectives would mean nothing",
        "the gate of another body than Llama and Gemma 2": "where it reads is not known",
    },
    recognises=_recognises,
    load=load,
    head=load_head,
    objectives=objectives,
)
