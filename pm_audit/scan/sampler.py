"""Which comparisons a scan attributes."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from pm_audit.data.sampling import allocate

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_QUANTILES = 5
"""Parts of the range of differences that a stratified sample is drawn from."""


class Sampler(StrEnum):
    """How comparisons are chosen."""

    TOP_GAP = "top-gap"
    """Those of largest difference of rewards, of either sign: the published method."""
    STRATIFIED = "stratified"
    """From each fifth of the differences, and of each value of a column, by its share."""
    RANDOM = "random"


def sample(
    differences: Floats, strata: Sequence[str], size: int, sampler: Sampler, *, seed: int
) -> Integers:
    """Return the places of up to ``size`` comparisons, sorted.

    Args:
        differences: [comparison], chosen reward minus rejected.
        strata: [comparison], what a stratified sample keeps the shares of.
        size: comparisons to take.
        sampler: how.
        seed: of the draw; top-gap draws nothing.

    """
    if len(differences) <= size:
        return np.arange(len(differences))
    if sampler is Sampler.TOP_GAP:
        return np.sort(np.argsort(-np.abs(differences), kind="stable")[:size])
    generator = np.random.default_rng(seed)
    if sampler is Sampler.RANDOM:
        return np.sort(generator.choice(len(differences), size, replace=False))
    bounds = np.quantile(differences, np.linspace(0, 1, _QUANTILES + 1)[1:-1])
    part = np.searchsorted(bounds, differences)
    named = [f"{at}\0{stratum}" for at, stratum in zip(part.tolist(), strata, strict=True)]
    members = {name: np.flatnonzero(np.array(named) == name) for name in sorted(set(named))}
    sizes = allocate({name: len(own) for name, own in members.items()}, size)
    drawn = [generator.choice(own, sizes[name], replace=False) for name, own in members.items()]
    return np.sort(np.concatenate(drawn))
