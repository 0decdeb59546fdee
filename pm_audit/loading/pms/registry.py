"""The families of preference models that load, open to other packages.

A family is one file and one entry of ``BUILT_IN``.  Another package adds one by an entry point of
the group ``pm_audit.pms`` that names a ``PmFamily``; it goes before the built-in ones.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from pm_audit.errors import ModelError
from pm_audit.extensions import extensions, guarded_if_added
from pm_audit.files import exists
from pm_audit.loading.checkpoint.folder import Checkpoint, open_checkpoint
from pm_audit.loading.foreign import explained
from pm_audit.loading.pms import (
    adapter,
    encoder,
    label_distribution,
    multi_objective,
    refusals,
    sarm,
    sequence_classification,
    value_head,
)
from pm_audit.loading.pms.family import PmFamily, Request
from pm_audit.spec import ALL_OBJECTIVES
from pm_audit.subject.preference_model import PreferenceModel, Readout
from pm_audit.subject.replayed import refuse_unlike
from pm_audit.text.text_format import TextSettings

GROUP = "pm_audit.pms"
BUILT_IN: tuple[PmFamily, ...] = (
    adapter.FAMILY,
    sarm.FAMILY,
    multi_objective.FAMILY,
    label_distribution.FAMILY,
    value_head.FAMILY,
    encoder.FAMILY,
    sequence_classification.FAMILY,
)


def load(
    path_or_name: str | Path,
    *,
    objective: str | None = None,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
    base: str | None = None,
    **text: Any,
) -> PreferenceModel:
    """Load a preference model from a folder or the Hugging Face hub.

    Args:
        path_or_name: folder, or ``organisation/model``; a local path is tried first.
            ``ADAPTER@BASE`` names the base of an adapter too.
        objective: which of several, or a mixture ``name=0.7,name=0.3``.
        dtype: of the body; the head is fp32.
        device: where the weights go.
        base: folder, GGUF file or hub name of an adapter's base.
        text: the fields of ``TextSettings``: text_format, text_end, text_start, text_date.

    Raises:
        ModelError: nothing is there, no family knows it, it is refused, or weights are missing.

    """
    checkpoint, said = _open(path_or_name)
    base = said if base is None else base
    if base is not None and checkpoint.adapter is None:
        raise ModelError(
            f"{checkpoint.name}: a base is named ({base[:200]}), but this is not an adapter (it "
            "has no adapter_config.json); name the PM alone"
        )
    request = Request(checkpoint, objective, dtype, device, base, TextSettings(**text))
    family = family_of(checkpoint)
    with guarded_if_added(family, BUILT_IN, GROUP, error=ModelError):
        loaded = _tried(family.load(request))
    if loaded.readout is not Readout.FIRST:
        refuse_unlike(loaded.decoder, name=loaded.name)
    return loaded


def _open(path_or_name: str | Path) -> tuple[Checkpoint, str | None]:
    """Return the checkpoint, and the base that ``ADAPTER@BASE`` names, if any."""
    if not exists(path_or_name) and "@" in str(path_or_name):
        path_or_name, _, base = str(path_or_name).partition("@")
        return open_checkpoint(path_or_name), base
    return open_checkpoint(path_or_name), None


@torch.inference_mode()
def _tried(model: PreferenceModel) -> PreferenceModel:
    """Return the model after one forward of two tokens, through body and head."""
    what = f"{model.name}: the body or head cannot run as config.json describes it"
    with explained(ModelError, what, "fetch the model's own config.json"):
        tokens = torch.zeros(1, 2, dtype=torch.long, device=model.device)
        states = model.decoder.backbone(input_ids=tokens).last_hidden_state[:, -1]
        rewards = model.reward(states, None if model.gate is None else model.gate(states))
    if tuple(rewards.shape) != (1,):
        raise ModelError(
            f"{model.name}: the head gives {list(rewards.shape)} rewards for one row, expected "
            "one; fetch the model again"
        )
    return model


def load_each(
    path_or_name: str | Path, *, objective: str | None = None, **options: Any
) -> tuple[PreferenceModel, ...]:
    """Load one preference model for each objective if ``objective`` is ``all``, else one.

    Args and errors are those of ``load``.
    """
    if objective != ALL_OBJECTIVES:
        return (load(path_or_name, objective=objective, **options),)
    checkpoint, _ = _open(path_or_name)
    family = family_of(checkpoint)
    first, *others = family.objectives(checkpoint) or (None,)
    loaded = load(path_or_name, objective=first, **options)

    def retargeted(name: str | None) -> PreferenceModel:
        if family.head is None:
            other = load(path_or_name, objective=name, **options)
            return replace(other, decoder=loaded.decoder, library=loaded.library)
        other_head = family.head(Request(checkpoint, name, device=loaded.device))
        head = other_head.eval().float().requires_grad_(requires_grad=False)
        return _tried(replace(loaded, head=head, objective=name))

    return (loaded, *map(retargeted, others))


def objectives(path_or_name: str | Path) -> tuple[str, ...]:
    """Return the names of a checkpoint's objectives; empty if there is only one."""
    checkpoint, _ = _open(path_or_name)
    return family_of(checkpoint).objectives(checkpoint)


def family_of(checkpoint: Checkpoint) -> PmFamily:
    """Return the family that knows the checkpoint, unless it is of a refused kind."""
    known = (*extensions(GROUP, PmFamily, error=ModelError), *BUILT_IN)
    refusals.refuse(checkpoint, refusals.FIRST)
    for family in known:
        with guarded_if_added(family, BUILT_IN, GROUP, error=ModelError):
            if family.recognises(checkpoint):
                return family
    refusals.refuse(checkpoint, refusals.LAST)
    if not checkpoint.architecture:
        raise ModelError(
            f"{checkpoint.name}: config.json is missing or names no class (`architectures`), so "
            "nothing says what these weights are; fetch the model's own config.json"
        )
    raise ModelError(
        f"{checkpoint.name}: {checkpoint.architecture} in config.json belongs to no known family "
        "of preference models; known are "
        + "; ".join(f"{family.name} ({family.files})" for family in known)
    )
