"""What ``adapter_config.json`` may say: every option of peft's LoRA that is done, or is refused.

peft builds the layers itself, so an option that it applies and merges exactly is done by loading.
What a merge cannot express, what changed the base when training began, and what no version of
peft known here writes is refused by name: it would be left aside in silence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import transformers

from pm_audit.errors import ModelError
from pm_audit.loading.checkpoint.folder import Checkpoint

DONE = frozenset(
    {
        *("r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora", "use_dora"),
        *("target_modules", "exclude_modules", "target_parameters", "layers_to_transform"),
        *("layers_pattern", "fan_in_fan_out", "bias", "lora_bias", "modules_to_save"),
        *("trainable_token_indices", "ensure_weight_tying", "init_lora_weights"),
        *("base_model_name_or_path", "revision", "peft_type", "auto_mapping"),
    }
)
"""Applied by peft on loading, or by us."""
HARMLESS = frozenset(
    {
        *("inference_mode", "task_type", "peft_version", "lora_dropout", "megatron_core"),
        *("qalora_group_size", "runtime_config", "eva_config", "velora_config"),
    }
)
"""Of training, or without effect by themselves."""
REFUSED: Mapping[str, str] = {
    "alora_invocation_tokens": "it acts only after its invocation tokens, which no merge keeps",
    "layer_replication": "copies of a layer share its weights, so a merge would change them all",
    "use_qalora": "its updates fit a quantised base alone",
    "use_bdlora": "its updates are split over devices",
    "arrow_config": "it mixes several adapters by the token",
    "kasa_config": "its singular values are kept outside the updates",
    "monteclora_config": "its updates are drawn at random",
    "loftq_config": "its base was quantised when training began",
    "corda_config": "its base was changed when training began",
    "lora_ga_config": "its base was changed when training began",
    "megatron_config": "it names modules to import, which is remote code",
}
_PLAIN_STARTS = (True, False, None, "gaussian", "orthogonal", "eva", "true", "false")
"""Ways in which only the update was started, so that the base is the one that is named."""
_REPEATED_STARTS = ("pissa", "olora")
"""Ways in which the base was changed too, by a rule that peft repeats on loading."""
_PROMPTS = frozenset(
    {"PROMPT_TUNING", "MULTITASK_PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "ADAPTION_PROMPT"}
    | {"CPT", "CARTRIDGE"}
)
"""Kinds that put trained states before a text, so that there are no weights to merge."""
_LIBRARY = re.compile(r"transformers(\.\w+)*")


def check_config(checkpoint: Checkpoint) -> None:
    """Refuse adapters whose configuration cannot be merged exactly, or names code.

    Raises:
        ModelError: the message names the option and what to do.

    """
    config = checkpoint.adapter or {}
    kind = str(config.get("peft_type"))[:40]
    if kind != "LORA":
        remedy = (
            "it trains a prompt, which no merge keeps: train LoRA, or a whole model"
            if kind in _PROMPTS
            else "merge it with peft (merge_and_unload), where peft can, and save the whole model"
        )
        raise ModelError(
            f"{checkpoint.name}: it is an adapter of kind {kind}, and of adapters only LORA loads; "
            f"{remedy}"
        )
    _refuse_code(checkpoint, config.get("auto_mapping"))
    for key, reason in REFUSED.items():
        if _is_on(config.get(key)):
            raise ModelError(
                f"{checkpoint.name}: adapter_config.json sets {key}, which is refused: {reason}; "
                "use an adapter without it, or a whole model"
            )
    unknown = [
        key
        for key, value in config.items()
        if key not in DONE | HARMLESS | REFUSED.keys() and _is_on(value)
    ]
    if unknown:
        raise ModelError(
            f"{checkpoint.name}: adapter_config.json sets {', '.join(sorted(unknown))[:160]}, "
            "which is no known option of LoRA and might change the reward; merge the adapter with "
            "the library that wrote it, or remove what does not change the reward"
        )
    _refuse_start(checkpoint, config.get("init_lora_weights", True))
    _refuse_ranks(checkpoint, config)


def _is_on(value: object) -> bool:
    return value not in (None, False, 0, "", "none", [], {})


def _refuse_code(checkpoint: Checkpoint, mapping: object) -> None:
    """Refuse ``auto_mapping`` but for a class of transformers, which peft writes by itself."""
    if not mapping:
        return
    parts = mapping if isinstance(mapping, Mapping) else {}
    named, library = parts.get("base_model_class"), parts.get("parent_library")
    own = isinstance(library, str) and _LIBRARY.fullmatch(library) is not None
    if not own or not isinstance(named, str) or not hasattr(transformers, named):
        raise ModelError(
            f"{checkpoint.name}: adapter_config.json names modules to import (auto_mapping), which "
            "is remote code; remove the field"
        )


def _refuse_start(checkpoint: Checkpoint, start: object) -> None:
    known = (*_PLAIN_STARTS, *_REPEATED_STARTS)
    if isinstance(start, list | dict) or start not in known:
        raise ModelError(
            f"{checkpoint.name}: init_lora_weights is {str(start)[:40]!r}, which changed the base "
            "by chance or by data when training began; save the adapter with peft's "
            "path_initial_model_for_weight_conversion, or the whole merged model"
        )


def _refuse_ranks(checkpoint: Checkpoint, config: Mapping[str, Any]) -> None:
    """Refuse ranks that no tensor of the adapter stands behind, before peft makes room for them."""
    most = max((length for held in checkpoint.stored.values() for length in held.shape), default=0)
    pattern = config.get("rank_pattern") or {}
    said = [config["r"]] if "r" in config else []
    said += pattern.values() if isinstance(pattern, Mapping) else []
    for rank in said:
        if isinstance(rank, bool) or not isinstance(rank, int) or not 0 < rank <= most:
            raise ModelError(
                f"{checkpoint.name}: adapter_config.json says a rank of {str(rank)[:40]}, expected "
                f"1 to {most}, which its weights have; fetch the adapter's own files"
            )
