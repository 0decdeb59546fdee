"""The resampling that every interval of a hypothesis rests on, and how a record holds one."""

from __future__ import annotations

import math

from pm_audit.records import Figure, MethodRecord, Unit
from pm_audit.stats import Interval, PromptBootstrap


def bootstrap_of(prompts: int, method: MethodRecord) -> PromptBootstrap:
    """Return the resampling of prompts that every interval of the method rests on."""
    return PromptBootstrap(
        prompts,
        resamples=method.bootstrap_resamples,
        confidence=method.confidence,
        seed=method.seed,
    )


def as_figure(interval: Interval, unit: Unit) -> Figure:
    """Turn an interval into a figure of the record; an infinite limit becomes None."""
    low, high = interval.low, interval.high
    return Figure(
        value=interval.value,
        low=low if math.isfinite(low) else None,
        high=high if math.isfinite(high) else None,
        unit=unit,
    )


def as_difference(interval: Interval) -> Figure:
    """Turn the interval of a difference of two shares into a figure; none lies beyond -1 and 1."""
    low, high = max(interval.low, -1.0), min(interval.high, 1.0)
    return as_figure(Interval(interval.value, low, high), Unit.SHARE)
