"""PEFT adapters over a base, merged into it; the base may be a GGUF file.

The adapter must bring the reward head itself (``modules_to_save=["score"]``), or the head would
be random on every load.  The base is where the user says, or a name on the Hugging Face hub: a
path that the adapter's own file gives is not followed.
"""

from __future__ import annotations

import contextlib
import importlib
import re
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import AutoModelForSequenceClassification

from pm_audit.errors import ModelError
from pm_audit.files import sha256
from pm_audit.models.checkpoint import Checkpoint, open_checkpoint
from pm_audit.models.family import PmFamily, Request
from pm_audit.models.preference_model import PreferenceModel
from pm_audit.models.sequence_classification import assemble
from pm_audit.models.transformers_checkpoint import load_strictly, load_tokenizer, quietly

_HEAD = re.compile(r"(?:^|\.)score(?:\.modules_to_save)?(?:\.default)?\.weight$")
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def load(request: Request) -> PreferenceModel:
    """Load base and adapter, merge them, and take the adapter's head.

    Raises:
        ModelError: peft is absent, the base is not named, or the adapter has no head.

    """
    checkpoint = request.checkpoint
    labels = _labels(checkpoint)
    _refuse_code(checkpoint)
    try:
        peft = importlib.import_module("peft")
    except ImportError:
        raise ModelError(
            f"{checkpoint.name}: adapters need peft; `pip install peft`, or merge the adapter"
        ) from None
    base = _base(request)
    model = load_strictly(
        AutoModelForSequenceClassification,
        replace(request, checkpoint=base),
        absent=("score.",),
        options={"num_labels": labels, "ignore_mismatched_sizes": True},
    )
    try:
        with quietly(), _silent():
            adapted = peft.PeftModel.from_pretrained(model, str(checkpoint.folder))
            merged = adapted.merge_and_unload(safe_merge=True)
    except Exception as problem:  # peft raises of many classes for an adapter that does not fit
        raise ModelError(
            f"{checkpoint.name}: the adapter does not fit its base {base.name}: "
            f"{' '.join(str(problem).split())[:300]}"
        ) from problem
    own = (checkpoint.folder / "tokenizer.json").is_file()
    tokenizer = load_tokenizer(request if own else replace(request, checkpoint=base))
    digest = sha256([*checkpoint.weight_files, *base.weight_files])
    return assemble(merged, tokenizer, request, sha256=digest)


def _labels(checkpoint: Checkpoint) -> int:
    """Return how many outputs the adapter's own head has."""
    heads = [key for key in checkpoint.keys if _HEAD.search(key)]
    if not heads:
        raise ModelError(
            f"{checkpoint.name}: the adapter has no score head, so every load would draw another "
            "random one; train it with modules_to_save=['score']"
        )
    return int(checkpoint.tensors("", wanted={heads[0]})[heads[0]].shape[0])


def _refuse_code(checkpoint: Checkpoint) -> None:
    """Refuse adapters whose configuration names modules to import."""
    config = checkpoint.adapter or {}
    if config.get("megatron_config") is not None or config.get("auto_mapping"):
        raise ModelError(
            f"{checkpoint.name}: adapter_config.json names modules to import (megatron_config or "
            "auto_mapping), which is remote code; remove the field"
        )
    if config.get("peft_type") != "LORA":
        raise ModelError(
            f"{checkpoint.name}: a {config.get('peft_type')} adapter cannot be merged into its "
            "base; only LORA loads: merge it with peft and save the whole model"
        )


def _base(request: Request) -> Checkpoint:
    named = str((request.checkpoint.adapter or {}).get("base_model_name_or_path") or "")
    if request.base is not None:
        return open_checkpoint(request.base)
    name = request.checkpoint.name
    if not _HUB_NAME.fullmatch(named) or Path(named).exists():
        raise ModelError(
            f"{name}: the adapter's base {named[:200]!r} is no name on the Hugging Face hub, and "
            f"paths in its file are not followed; name the base yourself: {name}@BASE"
        )
    try:
        return open_checkpoint(named)
    except ModelError as problem:
        raise ModelError(
            f"{name}: this is an adapter alone, and its base cannot be opened: {problem}; where "
            f"you have the base, name it: {name}@BASE"
        ) from problem


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _recognises(checkpoint: Checkpoint) -> bool:
    return checkpoint.adapter is not None


def objectives(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Return the names of the adapter's objectives, by number; empty where there is one."""
    count: Any = _labels(checkpoint)
    return tuple(f"LABEL_{index}" for index in range(count)) if count > 1 else ()


FAMILY = PmFamily(
    name="PEFT adapters",
    files="`adapter_config.json`, `adapter_model.safetensors`",
    loads=("LoRA over a folder, a hub name, or a GGUF file",),
    refuses={
        "no `score` in `modules_to_save`": "the head would be random",
        "adapters other than LoRA": "they cannot be merged",
        "`megatron_config`, `auto_mapping`": "they name code to import",
        "a base given as a path in the adapter's own file": "paths in files are not followed",
    },
    recognises=_recognises,
    load=load,
    objectives=objectives,
)
