"""How numbers are written: three significant digits, the same in every report.

A figure and its interval share their decimals, which the largest of the three decides, so that
an effect of a thousandth of sigma is as readable as one of two sigma.  A zero has no sign.
"""

from __future__ import annotations

import math

from pm_audit.records import Figure, Unit

_SIGNIFICANT = 3
_MOST_DECIMALS = 9


def decimals(*numbers: float | None, most: int = _MOST_DECIMALS) -> int:
    """Return how many decimals show three significant digits of the largest number."""
    largest = max((abs(one) for one in numbers if one is not None), default=0.0)
    if not (largest and math.isfinite(largest)):
        return 2
    return min(max(_SIGNIFICANT - 1 - math.floor(math.log10(largest)), 0), most)


def signed(effect: float, places: int | None = None) -> str:
    """Return ``+0.403``, ``-1.24``; a number that rounds to zero has no sign."""
    text = f"{effect:+.{decimals(effect) if places is None else places}f}"
    return text[1:] if float(text) == 0 else text


def unsigned(effect: float) -> str:
    """Return the number with a minus sign only: ``0.403``, ``-0.12``."""
    return signed(effect).removeprefix("+")


def percent(share: float) -> str:
    """Return a share as a percentage, with one decimal below ten: ``62%``, ``1.9%``, ``0%``."""
    points = abs(100 * share)
    if points < 0.05:
        return "0%"  # never -0%
    return f"{100 * share:.{1 if points < 9.95 else 0}f}%"


def number(figure: Figure) -> str:
    """Return a figure with its unit: ``-1.23 sigma``, ``62%``, ``+0.403``."""
    unit = " sigma" if figure.unit is Unit.SIGMA else ""
    return value(figure) + unit


def value(figure: Figure, *, most: int = _MOST_DECIMALS) -> str:
    """Return a figure without its unit, for a place that names it."""
    return _end(figure.value, figure, most)


def bounds(figure: Figure, *, most: int = _MOST_DECIMALS) -> str:
    """Return the interval, or nothing if the figure has none."""
    ends = (figure.low, figure.high)
    if ends == (None, None):
        return ""
    low, high = ("unbounded" if end is None else _end(end, figure, most) for end in ends)
    return f"[{low}, {high}]"


def with_bounds(figure: Figure | None) -> str:
    """Return a figure with its interval; a dash if there is none."""
    if figure is None:
        return "-"
    return f"{number(figure)} {bounds(figure)}".strip()


def bare(figure: Figure, *, most: int = _MOST_DECIMALS) -> str:
    """Return a figure with its interval and without its unit, for a column that names it."""
    return f"{value(figure, most=most)} {bounds(figure, most=most)}".strip()


def size(figure: Figure) -> str:
    """Return how large a signed figure is: ``0.403 sigma [0.346, 0.457]``.

    For sentences whose verb gives the sign.
    """
    shown = figure if figure.value >= 0 else scaled(figure, -1.0, figure.unit)
    return with_bounds(shown).replace("+", "")


def scaled(figure: Figure, factor: float, unit: Unit) -> Figure:
    """Return a figure in another unit; a negative factor exchanges the limits."""
    ends = [None if end is None else end * factor for end in (figure.low, figure.high)]
    low, high = ends if factor >= 0 else reversed(ends)
    return Figure(value=figure.value * factor, low=low, high=high, unit=unit)


def in_sigma(figure: Figure, sigma: float) -> Figure:
    """Return a raw figure in sigma; unchanged if sigma is not positive."""
    return scaled(figure, 1 / sigma, Unit.SIGMA) if sigma > 0 else figure


def share_of(part: float, whole: float) -> str:
    """Return a part as a percentage of the whole; a dash if the whole is zero."""
    return percent(part / whole) if whole else "-"


def _end(end: float, figure: Figure, most: int) -> str:
    if figure.unit is Unit.SHARE:
        return percent(end)
    return signed(end, decimals(figure.value, figure.low, figure.high, most=most))
