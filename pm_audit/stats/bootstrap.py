"""Confidence intervals by resampling prompts: BCa, never narrower than the jackknife t.

The prompt is the unit.  Every statistic of an audit (gap, closure, collateral) is a smooth
function of means over prompts, so one resample of prompts is one row of weights, and the
resampled means of all columns are one matrix product.  Columns that enter one statistic, such
as the two gaps of a closure, are resampled jointly and so stay paired.

Two intervals are computed and their envelope is returned:

* BCa (``bca.py``), which follows skewness.  For the ten to thirty prompts of an audit its
  percentiles lie too far in, so the nominal score is expanded from the normal quantile to
  ``sqrt(n / (n - 1))`` times the quantile of Student's t with n - 1 degrees of freedom, as
  Hesterberg (2015, "What teachers should know about the bootstrap") does for percentiles.
* Student's t on the jackknife standard error, which holds up for heavy tails and few prompts.

``docs/statistics.md`` gives the coverage of each alone and of the envelope.

Sign: an interval is of the statistic itself, so positive means what the statistic's sign means.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from pm_audit.stats.bca import ROUNDING, bca_limits

Array = NDArray[np.float64]
Statistic = Callable[[Array], Array]
"""Means ``[row column]`` to values ``[row]``; NaN if a row leaves the value undefined."""

BLOCK_ELEMENTS = 4_000_000
"""Weights held as float64 at once; thousands of prompts must not fill the memory."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and its confidence limits; a limit is infinite if the data set no bound."""

    value: float
    low: float
    high: float

    def scaled(self, factor: float) -> Interval:
        """Return the interval of ``factor`` times the statistic; a negative one swaps limits."""
        ends = sorted((self.low * factor, self.high * factor))
        return Interval(self.value * factor, ends[0], ends[1])

    def one_minus(self) -> Interval:
        """Return the interval of one minus the statistic."""
        return Interval(1 - self.value, 1 - self.high, 1 - self.low)

    def widened(self, factor: float) -> Interval:
        """Return the interval with both half-widths multiplied by ``factor``, at least 1."""
        low = self.value - factor * (self.value - self.low)
        return Interval(self.value, low, self.value + factor * (self.high - self.value))

    def excludes(self, point: float) -> bool:
        """Whether ``point`` lies strictly outside the interval."""
        return self.low > point or self.high < point

    def within(self, low: float, high: float) -> bool:
        """Whether the whole interval lies strictly between ``low`` and ``high``."""
        return low < self.low and self.high < high

    def outside(self, low: float, high: float) -> bool:
        """Whether the whole interval lies strictly below ``low`` or above ``high``."""
        return self.high < low or self.low > high


def mean_of(column: int) -> Statistic:
    """Return the statistic that is the mean of one column."""
    return lambda means: means[:, column]


def ratio_of(numerator: int, denominator: int) -> Statistic:
    """Return the statistic that is the ratio of two columns' means.

    Undefined (NaN) if the denominator is not positive: orient the columns so that its mean
    over all prompts is positive.
    """

    def ratio(means: Array) -> Array:
        below = means[:, denominator]
        safe = np.where(below > 0, below, 1.0)
        return np.where(below > 0, means[:, numerator] / safe, np.nan)

    return ratio


class PromptBootstrap:
    """Resamples of prompts, drawn once and shared by every statistic of a hypothesis.

    Args:
        prompts: number of prompts.
        resamples: number of bootstrap resamples.
        confidence: two-sided confidence, such as 0.95.
        seed: seed of the resampling; equal arguments give equal intervals.

    """

    def __init__(self, prompts: int, *, resamples: int, confidence: float, seed: int) -> None:
        if prompts < 1 or resamples < 100 or not 0 < confidence < 1:
            raise ValueError(
                f"cannot resample {prompts} prompts {resamples} times at confidence {confidence}: "
                "needs a prompt, 100 resamples or more, and a confidence between 0 and 1"
            )
        self.prompts = prompts
        self.confidence = confidence
        self._counts = _draw(prompts, resamples, seed)

    def interval(self, columns: Array, statistic: Statistic) -> Interval:
        """Return the estimate and limits of a function of column means.

        Args:
            columns: one value for each ``"prompt column"``.
            statistic: maps means ``"row column"`` to values ``"row"``.

        """
        value = float(statistic(columns.mean(axis=0, keepdims=True))[0])
        if self.prompts < 2 or not math.isfinite(value):
            return Interval(value, -math.inf, math.inf)
        resampled = statistic(self._means(columns))
        left_out = statistic((columns.sum(axis=0) - columns) / (self.prompts - 1))
        if not np.all(np.isfinite(left_out)):
            # the value depends on a single prompt, so the data set no bound
            return Interval(value, -math.inf, math.inf)
        error = math.sqrt((self.prompts - 1) * float(np.var(left_out)))
        if error <= ROUNDING * max(1.0, abs(value)):
            return Interval(value, value, value)
        score = float(stdtrit(self.prompts - 1, (1 + self.confidence) / 2))
        reach = score * error
        expanded = score * math.sqrt(self.prompts / (self.prompts - 1))
        low, high = bca_limits(value, resampled, left_out, score=expanded)
        return Interval(value, min(low, value - reach), max(high, value + reach))

    def mean(self, values: Array) -> Interval:
        """Return the interval of the mean of ``"prompt"`` values."""
        return self.interval(values[:, None], mean_of(0))

    def ratio(self, numerator: Array, denominator: Array) -> Interval:
        """Return the interval of the ratio of two means over the same prompts."""
        sign = 1.0 if denominator.mean() >= 0 else -1.0
        columns = np.stack([numerator, denominator], axis=1) * sign
        return self.interval(columns, ratio_of(0, 1))

    def _means(self, columns: Array) -> Array:
        """Return resampled means ``"resample column"``."""
        block = max(1, BLOCK_ELEMENTS // self.prompts)
        parts = [
            self._counts[start : start + block].astype(np.float64) @ columns
            for start in range(0, len(self._counts), block)
        ]
        return np.concatenate(parts) / self.prompts


def mean_over_prompts(
    values: Array,
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


@lru_cache(maxsize=4)
def _draw(prompts: int, resamples: int, seed: int) -> NDArray[np.uint16]:
    """Return how often each resample holds each prompt, ``"resample prompt"``; read only.

    Kept because the hypotheses of a run share their probes, and so their number of prompts.
    """
    generator = np.random.default_rng(seed)
    block = max(1, BLOCK_ELEMENTS // prompts)
    chances = np.full(prompts, 1 / prompts)
    parts = [
        generator.multinomial(prompts, chances, size=min(block, resamples - start))
        for start in range(0, resamples, block)
    ]
    counts = np.concatenate(parts).astype(np.uint16)
    counts.setflags(write=False)
    return counts
