"""Difference of means: the one direction from the counter-examples' mean to the examples'."""

from __future__ import annotations

from torch import Tensor

from pm_audit.baselines.baseline import Baseline
from pm_audit.baselines.discovery import Discovery, orthonormal


def mean_difference(discovery: Discovery, most: int) -> Tensor:
    """Return one direction [1 hidden]; once it is gone the means agree, and there is no second."""
    return orthonormal(discovery.differences.mean(dim=0, keepdim=True), most=min(most, 1))


MEAN_DIFFERENCE = Baseline("difference of means", mean_difference)
