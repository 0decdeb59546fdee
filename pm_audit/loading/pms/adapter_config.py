"""What ``adapter_config.json`` may say: every option of peft's LoRA that is applied or refused.

peft builds the layers, so loading does every option that it applies and merges exactly.  Refused
are options that a merge cannot express, that changed the base when training began, or that no
known version of peft writes: they would be ignored silently.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import transformers

from pm_audit.errors import ModelError
from pm_audit.loading.checkpoint.folder import Checkpoint
from pm_audit.loading.options import Options, is_on

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
_STARTS = (True, False, None, "gaussian", "orthogonal", "eva", "true", "false", "pissa", "olora")
"""Values of init_lora_weights that leave the base as it is named, or that peft repeats on loading
(pissa, olora)."""
_PROMPTS = frozenset(
    {"PROMPT_TUNING", "MULTITASK_PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "ADAPTION_PROMPT"}
    | {"CPT", "CARTRIDGE"}
)
"""Kinds that put trained states before a text, so that there are no weights to merge."""
_LIBRARY = re.compile(r"transformers(\.\w+)*")


def check_config(checkpoint: Checkpoint) -> None:
    """Refuse an adapter whose configuration cannot be merged exactly, or names code."""
    held = checkpoint.adapter or {}
    options = Options(held, checkpoint.name, "adapter_config.json", ModelError)
    kind = str(held.get("peft_type"))[:40]
    if kind != "LORA":
        remedy = (
            "it trains a prompt, which no merge keeps: train LoRA, or a whole model"
            if kind in _PROMPTS
            else "merge it with peft (merge_and_unload), if peft can, and save the whole model"
        )
        raise ModelError(
            f"{checkpoint.name}: it is an adapter of kind {kind}, and of adapters only LORA loads; "
            f"{remedy}"
        )
    _refuse_code(checkpoint, held.get("auto_mapping"))
    for key, reason in REFUSED.items():
        if is_on(held.get(key)):
            raise ModelError(
                f"{checkpoint.name}: adapter_config.json sets {key}, which is refused: {reason}; "
                "use an adapter without it, or a whole model"
            )
    options.refuse_unknown(DONE | HARMLESS, changes="reward")
    start = held.get("init_lora_weights", True)
    if isinstance(start, list | dict) or start not in _STARTS:
        raise ModelError(
            f"{checkpoint.name}: init_lora_weights is {str(start)[:40]!r}, which changed the base "
            "by chance or by data when training began; save the adapter with peft's "
            "path_initial_model_for_weight_conversion, or the whole merged model"
        )
    _refuse_ranks(checkpoint, held)


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


def _refuse_ranks(checkpoint: Checkpoint, held: Mapping[str, Any]) -> None:
    """Refuse ranks that no tensor of the adapter has, before peft allocates them."""
    most = max((length for kept in checkpoint.stored.values() for length in kept.shape), default=0)
    pattern = held.get("rank_pattern") or {}
    ranks = [held["r"]] if "r" in held else []
    ranks += pattern.values() if isinstance(pattern, Mapping) else []
    for rank in ranks:
        if isinstance(rank, bool) or not isinstance(rank, int) or not 0 < rank <= most:
            raise ModelError(
                f"{checkpoint.name}: adapter_config.json says a rank of {str(rank)[:40]}, expected "
                f"1 to {most}, which its weights have; fetch the adapter's own files"
            )
