"""Low-rank updates of a frozen body, merged from the file that keeps them with the head.

``weight + SCALE * up @ down`` on every linear map of the trained blocks (LoRA,
https://arxiv.org/abs/2106.09685).
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import torch
from torch import Tensor, nn

from pm_audit.errors import ModelError
from pm_audit.loading.foreign import explained
from pm_audit.loading.tensors import read_safetensors

ADAPTER = "adapter.safetensors"
"""The adapter's file in a PM's folder."""
RECIPE = "recipe.json"
"""The file that says what the adapter was trained on; a PM's folder is whole once it has it."""
SCALE = 2.0
"""LoRA's alpha over rank."""
HEAD = "score.weight"
"""The scalar head's key in the adapter file, the name transformers gives it."""


def apply_adapter(backbone: nn.Module, path: Path) -> Tensor:
    """Merge the updates in ``path`` into the backbone's weights and return the head [1 hidden].

    Raises:
        ModelError: the file is unreadable, holds no head, or does not fit this backbone.

    """
    head, updates = read_adapter(path)
    for owner, (up, down) in updates.items():
        with fitted(path, owner), torch.no_grad():
            weight = backbone.get_parameter(f"{owner}.weight")
            weight.add_((SCALE * up @ down).to(weight))
    return head


def read_adapter(path: Path) -> tuple[Tensor, dict[str, tuple[Tensor, Tensor]]]:
    """Return the head [1 hidden] and, by the name of the map it updates, ``(up, down)``."""
    weights = read_safetensors(path, error=ModelError)
    head = weights.pop(HEAD, None)
    if head is None:
        raise ModelError(f"{path}: no {HEAD}, so this PM has no reward head; train it again")
    owners = sorted({name.rpartition(".")[0] for name in weights})
    try:
        updates = {owner: (weights[f"{owner}.up"], weights[f"{owner}.down"]) for owner in owners}
    except KeyError as error:
        raise ModelError(f"{path}: half an update, {error} is missing; train it again") from None
    return head, updates


def fitted(path: Path, owner: str) -> AbstractContextManager[None]:
    """Raise ModelError if an update does not fit the backbone."""
    what = f"{path}: the update of {owner} does not fit this backbone"
    return explained(ModelError, what, "check that base and depth are the recipe's")
