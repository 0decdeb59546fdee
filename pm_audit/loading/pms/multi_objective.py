"""Heads with several objectives: ArmoRM (2406.12845) and QRM (2409.10164), with their gates.

``regression_layer`` gives one output an objective (QRM: some quantiles of each, whose mean is
taken), ``reward_transform_matrix`` mixes them against verbosity.  The user names an objective, a
mixture, or ``gated``: the published score, whose weights a gate reads off each prompt.

The gate has one output for each objective.  Further rows of the regression are something else (URM,
2410.00847, keeps a spread for each mean), and only the model's code says which ones: refused.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor, nn

from pm_audit.errors import ModelError
from pm_audit.loading.checkpoint.folder import Checkpoint
from pm_audit.loading.checkpoint.with_transformers import load_tokenizer
from pm_audit.loading.pms.bare_backbone import body_config, load_with_head
from pm_audit.loading.pms.family import PmFamily, Request
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
"""Classes of known conventions: the chat template, read at the last token."""

_SCALE = "logit_scale"
_GATE_LAYER = re.compile(r"gating\.(?:layers\.)?(\d{1,4})\.weight")
_READ = ("regression_layer.weight", "reward_transform_matrix", "gating.")


def _load(request: Request) -> PreferenceModel:
    known = f"known: {', '.join(CLASSES)}"
    notes = () if _is_known(request.checkpoint) else (request.note_on_unknown_class(known),)
    head = _head(request)
    config = body_config(request.checkpoint)
    return load_with_head(
        request,
        head,
        config,
        head_names=_READ,
        objective=request.objective,
        padding_id=config.pad_token_id,
        notes=notes,
    )


def _is_known(checkpoint: Checkpoint) -> bool:
    return checkpoint.architecture in CLASSES


def _head(request: Request) -> nn.Module:
    """Return the head of the objective or mixture that is named."""
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
            request.objective, single, source=checkpoint.name, unmixed=names[len(single) :]
        )
        head = LinearHead(weights @ directions)
    return head.to(request.device)


def _gate(checkpoint: Checkpoint, tokenizer: Any) -> Gate:
    weights = checkpoint.tensors("gating.")
    scale = weights.pop(_SCALE, torch.ones(1))
    layers = {name.removeprefix("layers."): weight for name, weight in weights.items()}
    kind = str(body_config(checkpoint).model_type)
    if scale.numel() != 1 or not bool(scale.isfinite().all()):
        raise ModelError(
            f"{checkpoint.name}: the gate's {_SCALE} is not a finite number; fetch it again"
        )
    return Gate(
        layers_of(layers, source=checkpoint.name),
        temperature=checkpoint.options.number("gating_temperature", 10, positive=True),
        scale=float(scale),
        header=header_tokens(tokenizer, kind, source=checkpoint.name),
    )


def _gate_outputs(checkpoint: Checkpoint) -> int | None:
    """Return how many objectives the gate weighs, or None without a gate."""
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
    """Return the config's names, or ArmoRM's, or numbers, the gated score last if there is a gate.

    Empty if nothing says which rows are objectives; loading says why.
    """
    try:
        names = _names(checkpoint)
    except ModelError:
        return ()
    return names if _gate_outputs(checkpoint) is None else (*names, GATED)


def _names(checkpoint: Checkpoint) -> tuple[str, ...]:
    count = _count(checkpoint)
    named = label_names(checkpoint.config, count)
    if not any(name.startswith("LABEL_") for name in named):
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


def _count(checkpoint: Checkpoint) -> int:
    """Return the number of objectives, if the rows are those of that many."""
    rows, gated = _rows(checkpoint), _gate_outputs(checkpoint)
    quantiles = checkpoint.config.get("num_quantiles") or 1
    if isinstance(quantiles, bool) or quantiles not in range(1, rows + 1) or rows % quantiles:
        raise checkpoint.options.wrong(
            "num_quantiles", f"a divisor of the {rows} outputs of regression_layer"
        )
    count = int(rows // quantiles)
    if gated not in (None, count):
        raise ModelError(
            f"{checkpoint.name}: regression_layer has {rows} outputs for the {gated} objectives "
            "that its gate weighs; the others may be spreads, as URM keeps them, and only its own "
            "code says which rows are means: keep those rows alone in regression_layer, or set "
            "num_quantiles if the rows are quantiles"
        )
    return count


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
    return checkpoint.is_whole and "regression_layer.weight" in checkpoint.keys


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
    load=_load,
    head=_head,
    objectives=objectives,
)
