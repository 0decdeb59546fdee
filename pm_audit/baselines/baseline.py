"""A baseline: another way to explain a gap, by directions of the stream instead of features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from pm_audit.baselines.discovery import Discovery


@dataclass(frozen=True)
class Baseline:
    """An entry of the registry."""

    name: str
    find: Callable[[Discovery, int], Tensor]
    """(discovery, most) -> orthonormal directions [direction hidden], best first."""
