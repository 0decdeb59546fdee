"""A body of transformers out of a checkpoint whose class transformers does not know.

The configuration names a body that transformers knows (Llama, GPT-NeoX, ...); its weights lie
under some prefix (``model.``, ``transformer.``, ``gpt_neox.``).  All other tensors of the
file belong to the head, and its family reads them.  None of the checkpoint's own code runs.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

from pm_audit.errors import ModelError
from pm_audit.loading.checkpoint.declared import check_declared, refuse_oversize
from pm_audit.loading.checkpoint.folder import Checkpoint
from pm_audit.loading.checkpoint.with_transformers import (
    load_tokenizer,
    quietly,
    refuse_missing,
    refuse_nan,
)
from pm_audit.loading.foreign import explained
from pm_audit.loading.pms.family import Request
from pm_audit.subject.preference_model import PreferenceModel

_SUFFIX = "_reward_model"
_REMEDY = "fetch the model's own config.json"


def load_with_head(
    request: Request, head: nn.Module, config: Any, *, head_names: tuple[str, ...], **fields: Any
) -> PreferenceModel:
    """Load the body of ``config`` with its tokenizer, and put a head on it.

    Args:
        request: the checkpoint and how to read it.
        head: from hidden states to rewards.
        config: of the body, from ``body_config``.
        head_names: what the names start with that the family reads itself.
        fields: further arguments of ``PreferenceModel.from_backbone``.

    """
    tokenizer = fields.pop("tokenizer", None) or load_tokenizer(request)
    body = fields.pop("body", None) or load_body(request, config, head_names=head_names)
    settled = {
        "name": request.checkpoint.name,
        "tokenizer": tokenizer,
        "sha256": request.checkpoint.sha256(),
    }
    if "text_format" not in fields:
        settled["text_format"] = request.format(tokenizer, config)
    return PreferenceModel.from_backbone(body, head.to(request.device), **(settled | fields))


def body_config(checkpoint: Checkpoint) -> Any:
    """Return the configuration of the body, remote code ignored."""
    check_declared(checkpoint)
    named = dict(checkpoint.config)
    kind = str(named.pop("model_type", "")).removesuffix(_SUFFIX)
    for key in ("auto_map", "architectures", "transformers_version"):
        named.pop(key, None)
    if kind not in CONFIG_MAPPING_NAMES:
        raise ModelError(
            f"{checkpoint.name}: transformers knows no body of type {kind[:80]!r}, and remote code "
            "stays off; convert the checkpoint to a class of transformers"
        )
    what = f"{checkpoint.name}: config.json does not describe a {kind} body"
    with explained(ModelError, what, _REMEDY):
        return AutoConfig.for_model(kind, **named)


def load_body(
    request: Request,
    config: PretrainedConfig,
    *,
    head_names: tuple[str, ...],
    optional: tuple[str, ...] = (),
) -> PreTrainedModel:
    """Load the body alone, every weight of it but the ``optional`` ones."""
    checkpoint = request.checkpoint
    checkpoint.refuse_quantised()
    what = f"{checkpoint.name}: no body can be made of config.json"
    with explained(ModelError, what, _REMEDY), torch.device("meta"), quietly():
        empty = AutoModel.from_config(config)
    refuse_oversize(checkpoint, empty)
    expected = list(empty.state_dict())
    prefix = _prefix(checkpoint, expected)
    unread = checkpoint.keys - {prefix + name for name in expected}
    checkpoint.refuse_unread(name for name in unread if not name.startswith(head_names))
    weights = checkpoint.tensors(prefix, wanted=set(expected))
    what = f"{checkpoint.name}: the body's weights do not fit its configuration"
    with explained(ModelError, what, _REMEDY), quietly():
        body, info = type(empty).from_pretrained(
            None, config=config, state_dict=weights, dtype=request.dtype, output_loading_info=True
        )
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
            f"{checkpoint.name}: the file has no {first} under any prefix, so it is not "
            "a whole checkpoint of the body that its config names; merge adapters and save again"
        )
    return max(found, key=lambda prefix: sum(prefix + name in checkpoint.keys for name in expected))
