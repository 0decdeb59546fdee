"""A block's norms and rotations in few kernels; transformers launches many."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from weakref import WeakKeyDictionary

from torch import nn

from pm_audit.subject.kernels.fused_norms import fused, fusible_norms
from pm_audit.subject.kernels.half_rotations import halved, rotating_modules


@contextlib.contextmanager
def fewer_kernels(block: nn.Module) -> Iterator[None]:
    """Let few kernels take the place of a block's own steps."""
    found = _known.get(block)
    if found is None:
        found = _known[block] = _Fusible(fusible_norms(block), rotating_modules(block))
    with fused(found.norms), halved(found.rotations):
        yield


@dataclass(frozen=True, eq=False)
class _Fusible:
    norms: tuple[nn.Module, ...]
    rotations: tuple[ModuleType, ...]
    """Python modules whose function rotates the block's heads."""


# Tried once a block: each try waits for the GPU.  A block that is gone leaves the table.
_known: WeakKeyDictionary[nn.Module, _Fusible] = WeakKeyDictionary()
