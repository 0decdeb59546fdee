"""The families of preference models that load, open to other packages.

A package adds a family by an entry point of the group ``pm_audit.models`` that names a
``PmFamily``; it is asked before the built-in ones.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

import torch

from pm_audit.errors import ModelError
from pm_audit.models import sequence_classification
from pm_audit.models.checkpoint import Checkpoint, open_checkpoint
from pm_audit.models.family import PmFamily, Request
from pm_audit.models.preference_model import PreferenceModel

GROUP = "pm_audit.models"
BUILT_IN: tuple[PmFamily, ...] = (sequence_classification.FAMILY,)


def families() -> tuple[PmFamily, ...]:
    """Return every family, those of other packages first.

    Raises:
        ModelError: an entry point names something that is no ``PmFamily``.

    """
    added = []
    for point in entry_points(group=GROUP):
        found = point.load()
        if not isinstance(found, PmFamily):
            raise ModelError(
                f"entry point {point.name!r} of {GROUP} is a {type(found).__name__}, expected a "
                f"PmFamily; mend or remove the package that offers {point.value}"
            )
        added.append(found)
    return (*added, *BUILT_IN)


def load(
    path_or_name: str | Path,
    *,
    text_format: str | None = None,
    objective: str | None = None,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
    base: str | None = None,
) -> PreferenceModel:
    """Load a preference model from a folder or the Hugging Face hub.

    Args:
        path_or_name: folder, or ``organisation/model``; a local path is tried first.
        text_format: hh, chat, raw, ...; None takes the tokenizer's chat template.
        objective: which of several, or a mixture ``name=0.7,name=0.3``.
        dtype: of the body; the head is fp32.
        device: where the weights go.
        base: folder, GGUF file or hub name of an adapter's base.

    Raises:
        ModelError: nothing is there, no family knows it, it is refused, or weights are missing.

    """
    checkpoint = open_checkpoint(path_or_name)
    request = Request(checkpoint, text_format, objective, dtype, device, base)
    return family_of(checkpoint).load(request)


def objectives(path_or_name: str | Path) -> tuple[str, ...]:
    """Return the names of a checkpoint's objectives; empty where there is only one."""
    checkpoint = open_checkpoint(path_or_name)
    return family_of(checkpoint).objectives(checkpoint)


def family_of(checkpoint: Checkpoint) -> PmFamily:
    """Return the family that knows the checkpoint.

    Raises:
        ModelError: none does.

    """
    known = families()
    for family in known:
        if family.recognises(checkpoint):
            return family
    raise ModelError(
        f"{checkpoint.name}: {checkpoint.architecture or 'no architecture'} in config.json is of "
        "no known family of preference models; known are "
        + "; ".join(f"{family.name} ({family.files})" for family in known)
    )
