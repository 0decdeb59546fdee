"""Confidence intervals by resampling prompts: BCa, never narrower than the jackknife t.

The prompt is the unit.  Every statistic of an audit (gap, closure, collateral) is a smooth
function of means over prompts, so one resample of prompts is one row of weights, and the
resampled means of all columns are one matrix product.  Columns that enter one statistic, such
as the two gaps of a closure, are resampled jointly and so stay paired.

Two intervals are computed and their envelope is returned:

* BCa, bias-corrected and accelerated (Efron 1987, "Better bootstrap confidence intervals"),
  which follows skewness.  For the ten to thirty prompts of an audit the percentile levels are
  too narrow, so they are expanded as in Hesterberg (2015, "What teachers should know about the
  bootstrap", section 3.1.1): ``Phi(-sqrt(n / (n - 1)) * t_{n-1})`` in place of half of alpha.
* Student's t on the jackknife standard error, which holds up for heavy tails and few prompts.

``docs/statistics.md`` gives the coverage of each alone and of the envelope.

Sign: an interval is of the statistic itself, so positive means what the statistic's sign means.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtrit

Array = NDArray[np.float64]
Statistic = Callable[[Array], Array]
"""Means ``[row column]`` to values ``[row]``; NaN where a row leaves the value undefined."""

BLOCK_ELEMENTS = 4_000_000
"""Weights held as float64 at once; thousands of prompts must not fill the memory."""

ROUNDING = 1e-12
"""Relative spread of resamples below which they are one value and rounding."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and its confidence limits; a limit is infinite where the data set no bound."""

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

    def excludes(self, point: float) -> bool:
        """Say whether ``point`` lies strictly outside the interval."""
        return self.low > point or self.high < point

    def within(self, low: float, high: float) -> bool:
        """Say whether the whole interval lies strictly between ``low`` and ``high``."""
        return low < self.low and self.high < high

    def outside(self, low: float, high: float) -> bool:
        """Say whether the whole interval lies strictly below ``low`` or above ``high``."""
        return self.high < low or self.low > high


def mean_of(column: int) -> Statistic:
    """Return the statistic that is the mean of one column."""
    return lambda means: means[:, column]


def ratio_of(numerator: int, denominator: int) -> Statistic:
    """Return the statistic that is the ratio of two columns' means.

    Undefined (NaN) where the denominator is not positive: orient the columns so that its mean
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
            # The value hangs on a single prompt: no bound can be had.
            return Interval(value, -math.inf, math.inf)
        error = math.sqrt((self.prompts - 1) * float(np.var(left_out)))
        if error <= ROUNDING * max(1.0, abs(value)):
            return Interval(value, value, value)
        reach = self._t() * error
        low, high = self._bca(value, resampled, left_out)
        return Interval(value, min(low, value - reach), max(high, value + reach))

    def mean(self, values: Array) -> Interval:
        """Return the interval of the mean of ``"prompt"`` values."""
        return self.interval(values[:, None], mean_of(0))

    def ratio(self, numerator: Array, denominator: Array) -> Interval:
        """Return the interval of the ratio of two means over the same prompts."""
        sign = 1.0 if denominator.mean() >= 0 else -1.0
        columns = np.stack([numerator, denominator], axis=1) * sign
        return self.interval(columns, ratio_of(0, 1))

    def _t(self) -> float:
        return float(stdtrit(self.prompts - 1, (1 + self.confidence) / 2))

    def _means(self, columns: Array) -> Array:
        """Return resampled means ``"resample column"``."""
        block = max(1, BLOCK_ELEMENTS // self.prompts)
        parts = [
            self._counts[start : start + block].astype(np.float64) @ columns
            for start in range(0, len(self._counts), block)
        ]
        return np.concatenate(parts) / self.prompts

    def _bca(self, value: float, resampled: Array, left_out: Array) -> tuple[float, float]:
        defined = resampled[np.isfinite(resampled)]
        if not len(defined):
            return -math.inf, math.inf
        slack = ROUNDING * max(1.0, abs(value))
        rank = (np.mean(defined < value - slack) + np.mean(defined <= value + slack)) / 2
        half = 0.5 / len(defined)
        bias = float(ndtri(min(max(float(rank), half), 1 - half)))
        influence = left_out.mean() - left_out
        skew = float(np.sum(influence**3) / (6 * np.sum(influence**2) ** 1.5))
        reach = math.sqrt(self.prompts / (self.prompts - 1)) * self._t()
        # Undefined resamples count against both limits, so that they can only widen.
        below = np.where(np.isfinite(resampled), resampled, -np.inf)
        above = np.where(np.isfinite(resampled), resampled, np.inf)
        low = np.quantile(below, _bca_level(bias, skew, -reach), method="lower")
        high = np.quantile(above, _bca_level(bias, skew, reach), method="higher")
        return float(low), float(high)


def _bca_level(bias: float, skew: float, score: float) -> float:
    """Return the percentile that BCa reads for a nominal normal ``score``."""
    shifted = bias + score
    stretch = 1 - skew * shifted
    if stretch <= 0:
        # The correction has left its range (Efron 1987, section 3); the extreme is the answer.
        return 0.0 if score < 0 else 1.0
    return float(ndtr(bias + shifted / stretch))


def _draw(prompts: int, resamples: int, seed: int) -> NDArray[np.uint16]:
    """Return how often each resample holds each prompt, ``"resample prompt"``."""
    generator = np.random.default_rng(seed)
    block = max(1, BLOCK_ELEMENTS // prompts)
    chances = np.full(prompts, 1 / prompts)
    parts = [
        generator.multinomial(prompts, chances, size=min(block, resamples - start))
        for start in range(0, resamples, block)
    ]
    return np.concatenate(parts).astype(np.uint16)
