"""Low-rank updates in training (LoRA, https://arxiv.org/abs/2106.09685), and how they are saved.

While training, the factors multiply the tokens one after the other, so that no gradient of a full
weight is ever formed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from pm_audit.errors import ModelError
from pm_audit.loading.default.adapter import ADAPTER, HEAD, RECIPE, SCALE, fitted, read_adapter


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
        read_adapter(folder / ADAPTER)
    except (OSError, ValueError, ModelError):
        return False
    return bool(found == json.loads(json.dumps(described)))


def resume_adapter(backbone: nn.Module, path: Path) -> Tensor:
    """Add the updates in ``path`` to the backbone as factors to go on training; return the head."""
    head, updates = read_adapter(path)
    for owner, (up, down) in updates.items():
        parent, _, name = owner.rpartition(".")
        with fitted(path, owner), torch.no_grad():
            linear = backbone.get_submodule(owner)
            if not isinstance(linear, nn.Linear):
                raise AttributeError(f"{owner} is no linear map")
            update = LowRankLinear(linear, len(down))
            update.up.copy_(up)
            update.down.copy_(down)
        setattr(backbone.get_submodule(parent), name, update)
    return head
