"""Heads with several objectives: ArmoRM (2406.12845) and QRM (2409.10164), with their gates.

``regression_layer`` gives one output an objective (QRM: some quantiles of each, whose mean is
taken), ``reward_transform_matrix`` mixes them against verbosity.  An objective is named, a mixture
given, or ``gated`` asks for the published score, whose weights a gate reads off each prompt.

The gate has one output an objective.  Where the regression has more rows, the others are something
else (URM, 2410.00847, keeps a spread for each mean), and only its code says which ones: refused.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor, nn

from pm_audit.errors import ModelError
from pm_audit.loading.checkpoint.folder import Checkpoint
from pm_audit.loading.checkpoint.with_transformers import load_tokenizer
from pm_audit.loading.pms.bare_backbone import body_config, load_body
from pm_audit.loading.pms.family import PmFamily, Request
from pm_audit.loading.pms.sequence_classification import choose_format
from pm_audit.subject.gate import Gate, GatedHead, header_tokens
from pm_audit.subject.heads import LinearHead, label_names, layers_of, mixture
from pm_audit.subject.preference_model import PreferenceModel

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

CLASSES = ("LlamaForRewardModelWithGating", "Gemma2ForRewardModelWithGating")
"""Classes whose conventions are known: the chat template, read at the last token."""

_SCALE = "logit_scale"
_GATE_LAYER = re.compile(r"gating\.(?:layers\.)?(\d{1,4})\.weight")
_READ = ("regression_layer.weight", "reward_transform_matrix", "gating.")


def load(request: Request) -> PreferenceModel:
    """Load the body and the objective or mixture that was asked for.

    Raises:
        ModelError: none was named, or weights are missing.

    """
    checkpoint = request.checkpoint
    known = f"known: {', '.join(CLASSES)}"
    notes = () if _is_known(checkpoint) else (request.note_on_unknown_class(known),)
    head = load_head(request)
    config = body_config(checkpoint)
    tokenizer = load_tokenizer(request)
    return PreferenceModel.from_backbone(
        load_body(request, config, beside=_READ),
        head,
        name=checkpoint.name,
        tokenizer=tokenizer,
        text_format=choose_format(request, tokenizer, config),
        sha256=checkpoint.sha256(),
        objective=request.objective,
        padding_id=config.pad_token_id,
        notes=notes,
    )


def _is_known(checkpoint: Checkpoint) -> bool:
    return checkpoint.architecture in CLASSES


def load_head(request: Request) -> nn.Module:
    """Return the head of the objective or mixture that was asked for.

    Raises:
        ModelError: none was named, or the gate is not there or not of a known kind.

    """
    checkpoint = request.checkpoint
    if "regression_layer.bias" in checkpoint.keys:
        raise ModelError(
            f"{checkpoint.name}: regression_layer.bias is in the file, and the known classes have "
            "none; remove it: an objective's rewards move by one constant, gaps do not"
        )
    single = _names(checkpoint)
    names = objectives(checkpoint)
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
    temperature = checkpoint.number("gating_temperature", 10)
    if scale.numel() != 1 or not bool(scale.isfinite().all()) or temperature <= 0:
        raise ModelError(
            f"{checkpoint.name}: the gate's {_SCALE} or gating_temperature ({temperature:g}) is no "
            "positive number; fetch the model again"
        )
    return Gate(
        layers_of(layers, source=checkpoint.name),
        temperature=temperature,
        scale=float(scale),
        header=header_tokens(tokenizer, kind, source=checkpoint.name),
    )


def _gate_outputs(checkpoint: Checkpoint) -> int | None:
    """Return how many objectives the gate weighs, None where there is no gate."""
    biases = {
        int(found[1]): held.shape
        for key, held in checkpoint.stored.items()
        if (found := _GATE_LAYER.fullmatch(key))
    }
    if not biases:
        return None
    last = biases[max(biases)]
    return last[0] if len(last) == 2 else 0


def objectives(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Return the objectives' names, the gated score last where there is a gate.

    The names are the config's, or ArmoRM's own, or numbers; none if nothing says which
    rows are objectives, and loading says why.
    """
    try:
        names = _names(checkpoint)
    except ModelError:
        return ()
    return names if _gate_outputs(checkpoint) is None else (*names, GATED)


def _names(checkpoint: Checkpoint) -> tuple[str, ...]:
    count = _count(checkpoint)
    named = _said(checkpoint, count)
    if named is not None:
        return named
    if _is_known(checkpoint) and count == len(ARMO_RM):
        return ARMO_RM
    if _gate_outputs(checkpoint) is None and count > 1:
        raise ModelError(
            f"{checkpoint.name}: regression_layer has {count} outputs, and neither a gate nor "
            "id2label in config.json says that each of them is an objective (it may be a spread "
            f"or a quantile); name all {count} in id2label, or set num_quantiles"
        )
    return tuple(f"objective_{index}" for index in range(count))


def _said(checkpoint: Checkpoint, count: int) -> tuple[str, ...] | None:
    """Return the names that the configuration gives, where it gives all of them."""
    named = label_names(checkpoint.config, count)
    own = not any(name.startswith("LABEL_") for name in named)
    return named if own else None


def _count(checkpoint: Checkpoint) -> int:
    """Return the number of objectives.

    Raises:
        ModelError: the rows are none of that many objectives.

    """
    rows, quantiles = _rows(checkpoint), _quantiles(checkpoint)
    gated = _gate_outputs(checkpoint)
    if rows % quantiles:
        raise ModelError(
            f"{checkpoint.name}: regression_layer has {rows} outputs, no multiple of the "
            f"num_quantiles of config.json ({quantiles}); fetch both again"
        )
    count = rows // quantiles
    if gated not in (None, count):
        raise ModelError(
            f"{checkpoint.name}: regression_layer has {rows} outputs for the {gated} objectives "
            "that its gate weighs; the others may be spreads, as URM keeps them, and only its own "
            "code says which rows are means: keep those rows alone in regression_layer, or set "
            "num_quantiles where the rows are quantiles"
        )
    return count


def _quantiles(checkpoint: Checkpoint) -> int:
    said = checkpoint.number("num_quantiles", 1) or 1
    if said != int(said) or said < 1:
        raise ModelError(
            f"{checkpoint.name}: config.json says num_quantiles is {said:g}, expected 1 or more; "
            "fetch the model's own config.json"
        )
    return int(said)


def _rows(checkpoint: Checkpoint) -> int:
    held = checkpoint.stored.get("regression_layer.weight")
    if held is None or len(held.shape) != 2 or not held.shape[0]:
        raise ModelError(
            f"{checkpoint.name}: regression_layer has no matrix of weights; fetch the model again"
        )
    return held.shape[0]


def _directions(checkpoint: Checkpoint, count: int) -> Tensor:
    """Return what each objective reads of the hidden state, [objective hidden]."""
    held = checkpoint.tensors("", wanted={"regression_layer.weight", "reward_transform_matrix"})
    rows = held["regression_layer.weight"].float()
    per_output = rows.reshape(count, -1, rows.shape[1]).mean(dim=1)
    transform = held.get("reward_transform_matrix")
    if transform is not None and tuple(transform.shape) != (count, count):
        raise ModelError(
            f"{checkpoint.name}: reward_transform_matrix is {list(transform.shape)} for {count} "
            "objectives; fetch the model again"
        )
    directions: Tensor = per_output if transform is None else transform.float().T @ per_output
    if not bool(directions.isfinite().all()):
        raise ModelError(
            f"{checkpoint.name}: regression_layer holds NaN or infinite weights; fetch it again"
        )
    return directions


def _recognises(checkpoint: Checkpoint) -> bool:
    own = checkpoint.gguf is None and checkpoint.adapter is None
    return own and "regression_layer.weight" in checkpoint.keys


FAMILY = PmFamily(
    name="Several objectives",
    files="`regression_layer.weight`, `reward_transform_matrix`",
    loads=("ArmoRM", "QRM, mean over quantiles", "each objective, mixtures, and the gated score"),
    refuses={
        "no objective named": "averaging objectives would mean nothing",
        "a class of unknown conventions without `text_format`": "many classes name their heads "
        "alike and were trained on other texts",
        "means and spreads (URM)": "only its own code says which rows are spreads",
        "the gate of another body than Llama and Gemma 2": "where it reads is not known",
    },
    recognises=_recognises,
    load=load,
    head=load_head,
    objectives=objectives,
)
