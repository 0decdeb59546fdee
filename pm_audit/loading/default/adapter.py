"""Low-rank updates of a frozen body, and the file that keeps them with the head.

``weight + scale * up @ down`` on every linear map of the trained blocks (LoRA,
https://arxiv.org/abs/2106.09685).  While training the factors multiply the tokens one after the
other, so that no gradient of a full weight is ever formed; for audits the sum is merged into the
weights.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pm_audit.errors import ModelError

ADAPTER = "adapter.safetensors"
"""The adapter's file in a PM's folder."""

RECIPE = "recipe.json"
"""The file that says what the adapter was trained on; a PM's folder is whole once it has it."""

SCALE = 2.0
"""LoRA's alpha over rank."""

HEAD = "score.weight"
"""The scalar head's key in the adapter file, the name transformers gives it."""


class LowRankLinear(nn.Module):
    """A frozen linear map with a trained low-rank addition; factors are kept in fp32."""

    def __init__(self, frozen: nn.Linear, rank: int) -> None:
        super().__init__()
        self.frozen = frozen
        out_size, in_size = frozen.weight.shape
        self.down = nn.Parameter(torch.randn(rank, in_size) / in_size**0.5)
        self.up = nn.Parameter(torch.zeros(out_size, rank))

    def forward(self, inputs: Tensor) -> Tensor:
        """Map [... in] to [... out] in the frozen map's dtype."""
        low = inputs @ self.down.to(inputs.dtype).T
        mapped: Tensor = self.frozen(inputs)
        added = torch.addmm(
            mapped.flatten(0, -2), low.flatten(0, -2), (SCALE * self.up).to(inputs.dtype).T
        )
        return added.view_as(mapped)


def add_low_rank(blocks: Iterable[nn.Module], *, rank: int) -> None:
    """Give every linear map of these blocks a low-rank update that starts at zero."""
    for block in blocks:
        for owner in list(block.modules()):
            for name, module in list(owner.named_children()):
                if isinstance(module, nn.Linear):
                    setattr(owner, name, LowRankLinear(module, rank))


def save_adapter(backbone: nn.Module, head: Tensor, path: Path) -> None:
    """Write the factors, under the names of the weights they update, and the head."""
    weights = {HEAD: head.detach().float().cpu().contiguous()}
    for name, module in backbone.named_modules():
        if isinstance(module, LowRankLinear):
            for factor in ("up", "down"):
                tensor = getattr(module, factor)
                weights[f"{name}.{factor}"] = tensor.detach().float().cpu().contiguous()
    save_file(weights, path)


def finished_adapter(folder: Path, described: Mapping[str, Any]) -> bool:
    """Whether the folder holds a whole adapter, trained as ``described`` in its recipe file."""
    try:
        found = json.loads((folder / RECIPE).read_text(encoding="utf-8"))
        _read(folder / ADAPTER)
    except (OSError, ValueError, ModelError):
        return False
    return bool(found == json.loads(json.dumps(described)))


def resume_adapter(backbone: nn.Module, path: Path) -> Tensor:
    """Add the updates in ``path`` to the backbone as factors to go on training; return the head.

    Raises:
        ModelError: the file is unreadable, holds no head, or does not fit this backbone.

    """
    head, updates = _read(path)
    for owner, (up, down) in updates.items():
        parent, _, name = owner.rpartition(".")
        try:
            linear = backbone.get_submodule(owner)
            if not isinstance(linear, nn.Linear):
                raise AttributeError(f"{owner} is no linear map")
            update = LowRankLinear(linear, len(down))
            with torch.no_grad():
                update.up.copy_(up)
                update.down.copy_(down)
        except (AttributeError, RuntimeError) as error:
            raise _misfit(path, owner, error) from None
        setattr(backbone.get_submodule(parent), name, update)
    return head


def apply_adapter(backbone: nn.Module, path: Path) -> Tensor:
    """Merge the updates in ``path`` into the backbone's weights and return the head [1 hidden].

    Raises:
        ModelError: the file is unreadable, holds no head, or does not fit this backbone.

    """
    head, updates = _read(path)
    with torch.no_grad():
        for owner, (up, down) in updates.items():
            try:
                weight = backbone.get_parameter(f"{owner}.weight")
                weight.add_((SCALE * up @ down).to(weight))
            except (AttributeError, RuntimeError) as error:
                raise _misfit(path, owner, error) from None
    return head


def _read(path: Path) -> tuple[Tensor, dict[str, tuple[Tensor, Tensor]]]:
    """Return the head [1 hidden] and, by the name of the map it updates, ``(up, down)``."""
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"{path}: cannot be read as an adapter ({error}); train it again"
        ) from None
    head = weights.pop(HEAD, None)
    if head is None:
        raise ModelError(f"{path}: no {HEAD}, so this PM has no reward head; train it again")
    owners = sorted({name.rpartition(".")[0] for name in weights})
    try:
        updates = {owner: (weights[f"{owner}.up"], weights[f"{owner}.down"]) for owner in owners}
    except KeyError as error:
        raise ModelError(f"{path}: half an update, {error} is missing; train it again") from None
    return head, updates


def _misfit(path: Path, owner: str, error: Exception) -> ModelError:
    return ModelError(
        f"{path}: the update of {owner} does not fit this backbone ({error}); "
        "check that base and depth are the recipe's"
    )
