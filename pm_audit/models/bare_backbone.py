"""A backbone out of a checkpoint whose class transformers does not know, without its code.

The configuration names a body that transformers knows (Llama, GPT-NeoX, ...); its weights lie
under some prefix (``model.``, ``transformer.``, ``gpt_neox.``).  Whatever else the file holds
belongs to the head, and the family that asked reads it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel

from pm_audit.errors import ModelError
from pm_audit.models.checkpoint import Checkpoint
from pm_audit.models.family import Request
from pm_audit.models.transformers_checkpoint import quietly, refuse_missing, refuse_nan

_SUFFIX = "_reward_model"


def body_config(checkpoint: Checkpoint) -> Any:
    """Return the configuration of the body, remote code ignored.

    Raises:
        ModelError: transformers does not know the model type.

    """
    named = dict(checkpoint.config)
    kind = str(named.pop("model_type", "")).removesuffix(_SUFFIX)
    for key in ("auto_map", "architectures", "transformers_version"):
        named.pop(key, None)
    try:
        return AutoConfig.for_model(kind, **named)
    except (ValueError, TypeError, KeyError, AttributeError) as problem:
        raise ModelError(
            f"{checkpoint.name}: transformers knows no body of type {kind!r}, and remote code "
            "stays off; convert the checkpoint to a class of transformers"
        ) from problem


def load_body(
    request: Request, config: PretrainedConfig, *, optional: tuple[str, ...] = ()
) -> PreTrainedModel:
    """Load the body alone, every weight of it but the ``optional`` ones.

    Raises:
        ModelError: weights are missing, misshapen or NaN.

    """
    checkpoint = request.checkpoint
    with torch.device("meta"), quietly():
        empty = AutoModel.from_config(config)
    prefix = _prefix(checkpoint, list(empty.state_dict()))
    weights: dict[str, Tensor] = checkpoint.tensors(prefix, wanted=set(empty.state_dict()))
    try:
        with quietly():
            body, info = type(empty).from_pretrained(
                None,
                config=config,
                state_dict=weights,
                dtype=request.dtype,
                output_loading_info=True,
            )
    except Exception as problem:  # transformers raises of many classes for weights that do not fit
        raise ModelError(
            f"{checkpoint.name}: the body's weights do not fit its configuration: "
            f"{' '.join(str(problem).split())[:300]}"
        ) from problem
    refuse_missing(checkpoint, info, absent=optional)
    refuse_nan(checkpoint, body)
    loaded: PreTrainedModel = body.to(request.device)
    return loaded


def _prefix(checkpoint: Checkpoint, expected: list[str]) -> str:
    """Return what stands before the body's own names in the file."""
    first = next(name for name in expected if name.endswith("weight"))
    found = [key.removesuffix(first) for key in checkpoint.keys if key.endswith(first)]
    if not found:
        raise ModelError(
            f"{checkpoint.name}: the file has no {first} under any prefix, so it is no "
            "complete checkpoint of the body that its config names; merge adapters and save again"
        )
    return max(found, key=lambda prefix: sum(prefix + name in checkpoint.keys for name in expected))
