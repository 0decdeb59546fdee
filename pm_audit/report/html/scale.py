"""A linear axis: from figures to pixels, with round ticks.

Plots are drawn as SVG by the page's own templates: a plotting library would bring a megabyte
of script, could not follow the reader's light or dark theme, and would need looser content
security.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on an axis."""

    at: float
    """Pixels from the left (or top) of the drawing."""
    label: str
    value: float


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps ``low`` to ``start`` pixels and ``high`` to ``end`` pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the pixel of a value, to a hundredth."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 2)

    def clamped(self, value: float) -> float:
        """Return the pixel of a value, at the edge if it lies beyond the axis."""
        return self(min(max(value, self.low), self.high))

    def ticks(self, *, most: int = 7, whole: bool = False) -> tuple[Tick, ...]:
        """Return round ticks inside the axis, at most about ``most``; ``whole`` for counts."""
        step = _round_step((self.high - self.low) / most)
        step = float(math.ceil(step)) if whole else step
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        digits = next(n for n in range(12) if n == 11 or math.isclose(round(step, n), step))
        return tuple(
            Tick(self(number * step), _label(number * step, digits), number * step)
            for number in range(first, last + 1)
        )


def spanning(values: Iterable[float | None], *, start: float, end: float) -> Scale:
    """Return a scale that holds every value, zero, and a margin."""
    known = [0.0, *(value for value in values if value is not None)]
    low, high = min(known), max(known)
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    margin = 0.04 * (high - low)
    low = low if low == 0.0 else low - margin
    high = high if high == 0.0 else high + margin
    return Scale(low, high, start, end)


def strip_scale(values: Iterable[float | None]) -> Scale:
    """Return the axis of a strip, in percent of its width."""
    return spanning(values, start=3.0, end=97.0)


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= rough * 0.999)


def _label(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}"
    return f"0{text[2:]}" if float(text) == 0 and text.startswith("-0") else text
