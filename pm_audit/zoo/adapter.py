"""Low-rank updates of a frozen body, and the file that keeps them with the head.

``weight + scale * up @ down`` on every linear map of the trained blocks (LoRA,
https://arxiv.org/abs/2106.09685).  As a torch parametrization the sum is formed once a pass and
every product with the tokens runs at full size and the body's dtype: measured faster here than
rank-16 products with thousands of tokens.  For audits the sum is merged into the weights.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.utils import parametrize

from pm_audit.errors import ModelError

SCALE = 2.0
"""LoRA's alpha over rank."""

HEAD = "score.weight"
"""The scalar head's key in the adapter file, the name transformers gives it."""


class LowRankUpdate(nn.Module):
    """A trained low-rank addition to one frozen weight; factors are kept in fp32."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        out_size, in_size = weight.shape
        self.down = nn.Parameter(torch.randn(rank, in_size) / in_size**0.5)
        self.up = nn.Parameter(torch.zeros(out_size, rank))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the updated weight, [out in]."""
        return weight + (SCALE * self.up @ self.down).to(weight.dtype)


def add_low_rank(blocks: Iterable[nn.Module], *, rank: int) -> None:
    """Give every linear map of these blocks a low-rank update that starts at zero."""
    for block in blocks:
        for module in list(block.modules()):
            if isinstance(module, nn.Linear):
                parametrize.register_parametrization(
                    module, "weight", LowRankUpdate(module.weight, rank)
                )


def save_adapter(backbone: nn.Module, head: Tensor, path: Path) -> None:
    """Write the factors, under the names of the weights they update, and the head."""
    weights = {HEAD: head.detach().float().cpu().contiguous()}
    for name, module in backbone.named_modules():
        if isinstance(module, LowRankUpdate):
            owner = name.removesuffix(".parametrizations.weight.0")
            for factor in ("up", "down"):
                tensor = getattr(module, factor)
                weights[f"{owner}.{factor}"] = tensor.detach().float().cpu().contiguous()
    save_file(weights, path)


def apply_adapter(backbone: nn.Module, path: Path) -> Tensor:
    """Merge the updates in ``path`` into the backbone's weights and return the head [1 hidden].

    Raises:
        ModelError: the file is unreadable, holds no head, or does not fit this backbone.

    """
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"{path}: cannot be read as an adapter ({error}); train it again"
        ) from None
    head = weights.pop(HEAD, None)
    if head is None:
        raise ModelError(f"{path}: no {HEAD}, so this PM has no reward head; train it again")
    with torch.no_grad():
        for owner in sorted({name.rpartition(".")[0] for name in weights}):
            try:
                weight = backbone.get_parameter(f"{owner}.weight")
                weight.add_((SCALE * weights[f"{owner}.up"] @ weights[f"{owner}.down"]).to(weight))
            except (AttributeError, KeyError, RuntimeError) as error:
                raise ModelError(
                    f"{path}: the update of {owner} does not fit this backbone ({error}); "
                    "check that base and depth are the recipe's"
                ) from None
    return head
