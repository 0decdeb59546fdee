"""What a configuration declares, compared with what the files hold before anything is built.

A configuration can declare millions of layers, which would take minutes and all memory before a
library finds that their weights are missing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from pm_audit.errors import ModelError
from pm_audit.loading.checkpoint.folder import Checkpoint

_LARGEST = 2**53
_REPEATED = re.compile(r"(^|_)(layers?|blocks?|experts?|labels?|depth|depths)(_|$)")
"""Keys whose number is how often something is made."""
_MOST_REPEATED = 4096
_LAYERS = frozenset({"num_hidden_layers", "n_layer", "n_layers", "num_layers"})
_BLOCK = re.compile(r"\.(\d+)\.")
_SLACK = 50_000_000
"""Parameters that may be declared beyond those held: a head that comes from elsewhere."""
_BUFFERS = 2**25
"""Bytes of buffers (masks, tables of positions) that a body may have in addition to its weights."""
_DEEPEST = 32


def check_declared(checkpoint: Checkpoint) -> None:
    """Refuse a configuration with a number that the weights cannot fill."""
    for key, value in _numbers(checkpoint.config, checkpoint, 0):
        most = _MOST_REPEATED if _REPEATED.search(key) else _LARGEST
        found = replace(checkpoint.options, held={key: value})
        if isinstance(value, int) and abs(value) > most and "id" not in key.split("_"):
            raise found.wrong(key, f"at most {most}")
        if key in _LAYERS and checkpoint.keys and value > 4 * _blocks(checkpoint) + 64:
            raise found.wrong(key, f"{_blocks(checkpoint)}, which the weights hold")


def _numbers(
    held: Mapping[Any, Any] | list[Any], checkpoint: Checkpoint, depth: int
) -> Iterator[tuple[str, float]]:
    """Yield every number of the configuration with its key."""
    if depth > _DEEPEST:
        raise ModelError(
            f"{checkpoint.name}: config.json is nested more than {_DEEPEST} deep; fetch it again"
        )
    named = isinstance(held, Mapping)
    parts = held.items() if isinstance(held, Mapping) else enumerate(held)
    for key, value in parts:
        if named and isinstance(value, int | float) and not isinstance(value, bool):
            yield str(key), value
        elif isinstance(value, Mapping | list):
            yield from _numbers(value, checkpoint, depth + 1)


def _blocks(checkpoint: Checkpoint) -> int:
    """Return one more than the highest number in the weights' names."""
    numbers = [int(found) for key in checkpoint.keys for found in _BLOCK.findall(key)]
    return 1 + max(numbers, default=0)


def refuse_oversize(checkpoint: Checkpoint, empty: nn.Module) -> None:
    """Refuse to fill a module, made without memory, that is far larger than the files."""
    if checkpoint.gguf is not None:
        return
    declared = sum(weight.numel() for weight in empty.parameters())
    held = sum(math.prod(stored.shape) for stored in checkpoint.stored.values())
    if declared > 2 * held + _SLACK:
        raise ModelError(
            f"{checkpoint.name}: config.json declares {declared:,} parameters and the files hold "
            f"{held:,}; fetch the model's own config.json, or the rest of its weights"
        )
    buffers = sum(buffer.numel() * buffer.itemsize for buffer in empty.buffers())
    if buffers > _BUFFERS + 4 * held:
        raise ModelError(
            f"{checkpoint.name}: config.json declares {buffers:,} bytes of masks and tables; check "
            "its number of positions"
        )
