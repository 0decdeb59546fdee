"""A calibration as one drawing: the share of audits that find a gap, against its true size.

Negative controls are at size zero; their share is that of false alarms.  Whiskers are exact 95%
limits.  Like the plots of the reports, it is an SVG template that places numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pm_audit.report.html.scale import Scale
from recipes.calibrate.result import Calibration, Share
from recipes.calibrate.shares import SIZEABLE, families

_LARGEST = 3.0
"""Sigma at the right edge; larger gaps are drawn there."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 60.0, 700.0, 20.0, 320.0
_STAGGER = 4.0
"""Pixels between families, so that whiskers of the same size do not overlap."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One share with its limits, in pixels."""

    x: float
    y: float
    low: float
    high: float
    words: str


@dataclass(frozen=True, slots=True)
class Curve:
    """The marks of one family, by size, the negative controls' first."""

    title: str
    kind: str
    marks: tuple[Mark, ...]


def draw(calibration: Calibration) -> str:
    """Return the drawing as an SVG document."""
    across = Scale(0.0, _LARGEST, _LEFT + 20, _RIGHT - 10)
    up = Scale(0.0, 1.0, _BOTTOM, _TOP)

    def mark(size: float, share: Share, shift: float, words: str) -> Mark:
        x = round(across(min(size, _LARGEST)) + shift, 2)
        at = up(share.count / share.of)
        return Mark(x, at, up(share.low), up(share.high), f"{words}: {share}")

    curves = []
    for number, family in enumerate(families(calibration)):
        shift = _STAGGER * (number - 1)
        marks = [mark(0.0, family.alarms, shift, "negative controls")] if family.alarms.of else []
        marks += [mark(one.size, one.share, shift, one.label) for one in family.detected]
        curves.append(Curve(family.title, family.kind, tuple(marks)))
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    template = environment.get_template("plot.svg.j2")
    return template.render(across=across, up=up, curves=curves, sizeable=SIZEABLE)
