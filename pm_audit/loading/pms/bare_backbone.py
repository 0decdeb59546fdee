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
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

from pm_audit.errors import ModelError
from pm_audit.loading.checkpoint.declared import check_declared, refuse_oversize
from pm_audit.loading.checkpoint.folder import Checkpoint
from pm_audit.loading.checkpoint.stored import refuse_unread
from pm_audit.loading.checkpoint.with_transformers import quietly, refuse_missing, refuse_nan
from pm_audit.loading.pms.family import Request

_SUFFIX = "_reward_model"


def body_config(checkpoint: Checkpoint) -> Any:
    """Return the configuration of the body, remote code ignored.

    Raises:
        ModelError: transformers does not know the model type, or the numbers are none of a model.

    """
    check_declared(checkpoint)
    named = dict(checkpoint.config)
    kind = str(named.pop("model_type", "")).removesuffix(_SUFFIX)
    for key in ("auto_map", "architectures", "transformers_version"):
        named.pop(key, None)
    try:
        return AutoConfig.for_model(kind, **named)
    except Exception as problem:  # transformers raises of many classes for a broken config
        if kind in CONFIG_MAPPING_NAMES:
            raise ModelError(
                f"{checkpoint.name}: config.json is none of a {kind} body: "
                f"{' '.join(str(problem).split())[:300]}; fetch the model's own config.json"
            ) from problem
        raise ModelError(
            f"{checkpoint.name}: transformers knows no body of type {kind[:80]!r}, and remote code "
            "stays off; convert the checkpoint to a class of transformers"
        ) from problem


def load_body(
    request: Request,
    config: PretrainedConfig,
    *,
    beside: tuple[str, ...],
    optional: tuple[str, ...] = (),
) -> PreTrainedModel:
    """Load the body alone, every weight of it but the ``optional`` ones.

    Args:
        request: the checkpoint, dtype and device.
        config: of the body, from ``body_config``.
        beside: what the names start with that the family reads itself.
        optional: weights of the body that the file need not hold.

    Raises:
        ModelError: weights are missing, misshapen, quantised, NaN, or read by nothing.

    """
    checkpoint = request.checkpoint
    checkpoint.refuse_quantised()
    try:
        with torch.device("meta"), quietly():
            empty = AutoModel.from_config(config)
    except Exception as problem:  # transformers raises of many classes for a broken config
        raise ModelError(
            f"{checkpoint.name}: no body can be made of config.json: "
            f"{' '.join(str(problem).split())[:300]}; fetch the model's own config.json"
        ) from problem
    refuse_oversize(checkpoint, empty)
    prefix = _prefix(checkpoint, list(empty.state_dict()))
    own = {prefix + name for name in empty.state_dict()}
    unread = [key for key in checkpoint.keys - own if not key.startswith(beside)]
    refuse_unread(unread, checkpoint.stored, source=checkpoint.name)
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
    first = next((name for name in expected if name.endswith("weight")), "weight")
    found = [key.removesuffix(first) for key in checkpoint.keys if key.endswith(first)]
    if not found:
        raise ModelError(
            f"{checkpoint.name}: the file has no {first} under any prefix, so it is no "
            "complete checkpoint of the body that its config names; merge adapters and save again"
        )
    return max(found, key=lambda prefix: sum(prefix + name in checkpoint.keys for name in expected))
