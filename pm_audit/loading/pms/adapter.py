"""PEFT adapters over a base, merged into it; the base may be a GGUF file.

The reward head is the adapter's own (``modules_to_save=["score"]``) or its base's; without either
it would be random on every load.  The user names the base, or the adapter names one on the Hugging
Face hub: a path in the adapter's own file is not followed.
"""

from __future__ import annotations

import hashlib
import importlib
import re
import warnings
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForSequenceClassification

from pm_audit.errors import ModelError
from pm_audit.files import exists, is_hub_name
from pm_audit.loading.checkpoint.folder import Checkpoint, open_checkpoint
from pm_audit.loading.checkpoint.stored import Stored
from pm_audit.loading.checkpoint.with_transformers import (
    load_strictly,
    load_tokenizer,
    quietly,
    refuse_nan,
)
from pm_audit.loading.foreign import explained
from pm_audit.loading.pms.adapter_config import REFUSED, check_config
from pm_audit.loading.pms.family import PmFamily, Request
from pm_audit.loading.pms.patterns import refuse_endless_patterns
from pm_audit.loading.pms.sequence_classification import assemble
from pm_audit.subject.preference_model import PreferenceModel

_HEAD = re.compile(r"(?:^|\.)score(?:\.modules_to_save)?(?:\.default)?\.(weight|bias)$")
_DEEP_HEAD = re.compile(r"(?:^|\.)score(?:\.modules_to_save)?(?:\.default)?\.\d+\.weight$")
_COPY = re.compile(r"\.(original_module|modules_to_save)\.(weight|bias)$")
_INSIDE = "base_model.model."
"""What peft writes before the names of the base's own modules."""
_REMEDY = (
    "name the base that it was trained on, ADAPTER@BASE; if tokens were added before training, "
    "save the adapter again with save_embedding_layers=True; if it cannot be merged, use one that "
    "can (of layers with a bias, if lora_bias is set)"
)


def _load(request: Request) -> PreferenceModel:
    """Load base and adapter, merge them, and take the adapter's head."""
    checkpoint = request.checkpoint
    check_config(checkpoint)
    checkpoint.refuse_quantised()
    own_head = _own_head(checkpoint)
    try:
        peft = importlib.import_module("peft")
    except ImportError:
        raise ModelError(
            f"{checkpoint.name}: adapters need peft; `pip install peft`, or merge the adapter"
        ) from None
    base = _base(request)
    of_base = replace(request, checkpoint=base)
    labels = own_head.shape[0] if own_head else _labels_of_base(checkpoint, base)
    model = load_strictly(
        AutoModelForSequenceClassification,
        of_base,
        absent=("score.",) if own_head else (),
        options={"num_labels": labels, "ignore_mismatched_sizes": True},
    )
    _fit_base(model, checkpoint, own_head)
    merged = _merged(peft, model, checkpoint, base)
    refuse_nan(checkpoint, merged)
    own = (checkpoint.folder / "tokenizer.json").is_file()
    tokenizer = load_tokenizer(request if own else of_base)
    # configurations are part of both hashes: they scale the update
    digest = hashlib.sha256(f"{checkpoint.sha256()}{base.sha256()}".encode()).hexdigest()
    return assemble(merged.to(request.device), tokenizer, request, sha256=digest)


def _own_head(checkpoint: Checkpoint) -> Stored | None:
    """Return the head that the adapter brings, or None."""
    if any(_DEEP_HEAD.search(key) for key in checkpoint.keys):
        raise ModelError(
            f"{checkpoint.name}: the adapter's score has several layers, and the classes of "
            "transformers have one; merge the adapter and save the whole model, whose score is "
            "then read as its own"
        )
    heads = [key for key in checkpoint.keys if _HEAD.search(key) and key.endswith("weight")]
    held = checkpoint.stored[heads[0]] if heads else None
    if held is not None and (len(held.shape) != 2 or not held.shape[0]):
        raise ModelError(
            f"{checkpoint.name}: the adapter's score is {list(held.shape)}, expected a matrix; "
            "fetch the adapter's own files"
        )
    return held


def _labels_of_base(checkpoint: Checkpoint, base: Checkpoint) -> int:
    """Return how many outputs the base's own head has, if the adapter brings none."""
    held = base.stored.get("score.weight")
    if held is None or len(held.shape) != 2:
        raise ModelError(
            f"{checkpoint.name}: the adapter has no score head and neither has its base, so every "
            "load would draw another random one; train it with modules_to_save=['score']"
        )
    return held.shape[0]


def _fit_base(model: Any, checkpoint: Checkpoint, own_head: Stored | None) -> None:
    """Give the base what training gave it before the adapter: a bias of the head, added tokens."""
    biased = any(_HEAD.search(key) and key.endswith("bias") for key in checkpoint.keys)
    score = getattr(model, "score", None)
    if biased and own_head is not None and isinstance(score, nn.Linear) and score.bias is None:
        score.bias = nn.Parameter(score.weight.new_zeros(score.out_features))
    embeddings = model.get_input_embeddings()
    names = [name for name, module in model.named_modules() if module is embeddings]
    rows = {
        held.shape[0]
        for key, held in checkpoint.stored.items()
        if key.startswith(f"{_INSIDE}{names[0]}.") and key.endswith(".weight")
        if "lora" not in key and len(held.shape) == 2 and held.shape[1] == embeddings.embedding_dim
    }
    if len(rows) == 1 and (count := rows.pop()) != embeddings.num_embeddings:
        # every row comes from the adapter's file, so none of them stays as it is made here
        model.resize_token_embeddings(count, mean_resizing=False)


def _merged(peft: Any, model: Any, checkpoint: Checkpoint, base: Checkpoint) -> Any:
    """Return the base with the adapter merged into it, every tensor of the adapter read."""
    modules = [name for name, _ in model.named_modules()]
    refuse_endless_patterns(checkpoint, checkpoint.adapter or {}, modules)
    what = f"{checkpoint.name}: the adapter does not fit its base {base.name}"
    with explained(ModelError, what, _REMEDY), quietly(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adapted = _adapted(peft, model, checkpoint)
        _refuse_unfit(peft, adapted, checkpoint)
        return adapted.merge_and_unload(safe_merge=True)


def _adapted(peft: Any, model: Any, checkpoint: Checkpoint) -> Any:
    config = peft.PeftConfig.from_pretrained(str(checkpoint.folder))
    if config.task_type != "SEQ_CLS":
        config.task_type = None  # other tasks wrap what only a language model has
    if not checkpoint.wrapped:
        return peft.PeftModel.from_pretrained(model, str(checkpoint.folder), config=config)
    # peft would not know the names in the file
    adapted = peft.get_peft_model(model, config)
    peft.set_peft_model_state_dict(adapted, checkpoint.tensors(""))
    return adapted.eval()


def _refuse_unfit(peft: Any, adapted: Any, checkpoint: Checkpoint) -> None:
    """Refuse an adapter that lacks tensors, or holds some that nothing reads."""
    held = set(checkpoint.keys)
    wanted = set(peft.get_peft_model_state_dict(adapted, save_embedding_layers=False))
    if missing := sorted(wanted - held):
        raise ModelError(
            f"{checkpoint.name}: the adapter lacks {', '.join(missing[:4])}, which its "
            "configuration requires and would be random; fetch the adapter's own files"
        )
    unread = held - wanted - set(adapted.state_dict()) - _copies(checkpoint)
    checkpoint.refuse_unread(unread)


def _copies(checkpoint: Checkpoint) -> set[str]:
    """Return tensors that peft saved twice: untrained originals, and copies of trained weights."""
    found: set[str] = set()
    for name in checkpoint.keys:
        loaded = _COPY.sub(r".\2", name)
        if loaded == name or loaded not in checkpoint.keys:
            continue
        if ".original_module." in name:
            found.add(name)
            continue
        pair = checkpoint.tensors("", wanted={name, loaded})
        if torch.equal(pair[name], pair[loaded]):
            found.add(name)
    return found


def _base(request: Request) -> Checkpoint:
    config = request.checkpoint.adapter or {}
    named, revision = str(config.get("base_model_name_or_path") or ""), config.get("revision")
    if request.base is not None:
        return open_checkpoint(request.base)
    name = request.checkpoint.name
    if not is_hub_name(named) or exists(named):
        raise ModelError(
            f"{name}: the adapter's base {named[:200]!r} is not a name on the Hugging Face hub, "
            f"and paths in its file are not followed; name the base yourself: {name}@BASE"
        )
    if revision not in (None, "", "main"):
        raise ModelError(
            f"{name}: the adapter was trained on revision {str(revision)[:80]!r} of {named}; fetch "
            f"that revision and name its folder: {name}@BASE"
        )
    try:
        return open_checkpoint(named)
    except ModelError as problem:
        raise ModelError(
            f"{name}: this is an adapter alone, and its base cannot be opened: {problem}; if "
            f"you have the base, name it: {name}@BASE"
        ) from problem


def _objectives(checkpoint: Checkpoint) -> tuple[str, ...]:
    head = _own_head(checkpoint)
    count = head.shape[0] if head else 1
    return tuple(f"LABEL_{index}" for index in range(count)) if count > 1 else ()


FAMILY = PmFamily(
    name="PEFT adapters",
    files="`adapter_config.json`, `adapter_model.safetensors`",
    loads=("LoRA over a folder, a hub name, or a GGUF file",),
    refuses={
        "no `score` in `modules_to_save`, nor in the base": "the head would be random",
        "adapters other than LoRA": "merge them first, if peft can",
        **{f"`{key}`": reason for key, reason in REFUSED.items()},
        "`auto_mapping` to another library": "it names code to import",
        "`init_lora_weights` of chance or data": "the base was changed when training began",
        "an unknown option that is on": "it might change the reward",
        "a base given as a path in the adapter's own file": "paths in files are not followed",
    },
    recognises=lambda checkpoint: checkpoint.adapter is not None,
    load=_load,
    objectives=_objectives,
)
