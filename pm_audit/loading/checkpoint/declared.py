"""What a configuration declares, held against what the files hold before anything is built.

A configuration is a text that anyone can write: a number of layers in the millions would take
minutes and all memory, long before a library finds that no weights are there for them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

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
"""Bytes of buffers (masks, tables of positions) that a body may have besides its weights."""
_DEEPEST = 32


def check_declared(checkpoint: Checkpoint) -> None:
    """Refuse a configuration whose numbers no file of weights stands behind.

    Raises:
        ModelError: the message names the key.

    """
    for key, value in _numbers(checkpoint.config, checkpoint, 0):
        most = _MOST_REPEATED if _REPEATED.search(key) else _LARGEST
        if isinstance(value, int) and abs(value) > most and "id" not in key.split("_"):
            _refuse(checkpoint, key, value, f"at most {most}")
        if key in _LAYERS and checkpoint.keys and value > 4 * _blocks(checkpoint) + 64:
            _refuse(checkpoint, key, value, f"{_blocks(checkpoint)}, which the weights hold")


def _refuse(checkpoint: Checkpoint, key: str, value: float, expected: str) -> None:
    raise ModelError(
        f"{checkpoint.name}: config.json says {key} is {str(value)[:40]}, expected {expected}; "
        "fetch the model's own config.json"
    )


def _numbers(held: object, checkpoint: Checkpoint, depth: int) -> Iterator[tuple[str, float]]:
    """Yield every number of the configuration with the key that it stands under."""
    if depth > _DEEPEST:
        raise ModelError(
            f"{checkpoint.name}: config.json is nested more than {_DEEPEST} deep; fetch it again"
        )
    if isinstance(held, Mapping):
        for key, value in held.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                yield str(key), value
            elif isinstance(value, Mapping | list):
                yield from _numbers(value, checkpoint, depth + 1)
    elif isinstance(held, Sequence) and not isinstance(held, str):
        for value in held:
            if isinstance(value, Mapping | list):
                yield from _numbers(value, checkpoint, depth + 1)


def _blocks(checkpoint: Checkpoint) -> int:
    """Return one more than the highest number in the weights' names."""
    numbers = [int(found) for key in checkpoint.keys for found in _BLOCK.findall(key)]
    return 1 + max(numbers, default=0)


def refuse_oversize(checkpoint: Checkpoint, empty: nn.Module) -> None:
    """Refuse to fill a module, made without memory, that is far larger than the files.

    Raises:
        ModelError: it declares parameters or buffers that nothing stands behind.

    """
    declared = sum(weight.numel() for weight in empty.parameters())
    held = sum(_size(stored.shape) for stored in checkpoint.stored.values())
    if checkpoint.gguf is None and declared > 2 * held + _SLACK:
        raise ModelError(
            f"{checkpoint.name}: config.json declares {declared:,} parameters and the files hold "
            f"{held:,}; fetch the model's own config.json, or the rest of its weights"
        )
    buffers = sum(buffer.numel() * buffer.itemsize for buffer in empty.buffers())
    if checkpoint.gguf is None and buffers > _BUFFERS + 4 * held:
        raise ModelError(
            f"{checkpoint.name}: config.json declares {buffers:,} bytes of masks and tables; check "
            "its number of positions"
        )


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size
