"""Shares of pairs, with intervals over prompts: a prompt's pairs stand or fall together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pm_audit.stats.bootstrap import Interval, PromptBootstrap


def mean_over_prompts(
    values: NDArray[np.float64],
    prompt: NDArray[np.int64],
    *,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return the mean of ``values`` [pair] with an interval over the prompts [pair].

    Every pair counts alike: the statistic is the ratio of two means over prompts, of the sum of a
    prompt's values and of its number of pairs.
    """
    _, number = np.unique(prompt, return_inverse=True)
    sums = np.asarray(np.bincount(number, values), dtype=np.float64)
    counts = np.asarray(np.bincount(number), dtype=np.float64)
    bootstrap = PromptBootstrap(len(sums), resamples=resamples, confidence=confidence, seed=seed)
    return bootstrap.ratio(sums, counts)
