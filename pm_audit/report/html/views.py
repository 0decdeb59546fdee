"""What each plot shows, as plain numbers and pixels; the templates only place them.

Rewards are shown in sigma against the mean of the same prompt's counter-examples, because the
level of a reward has no meaning of its own.  Intervals of single completions are t intervals
over prompts; they describe, and no verdict rests on them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy.special import stdtrit

from pm_audit.records import (
    Evidence,
    FeatureRecord,
    GapShares,
    HypothesisRecord,
    Role,
    RowEvidence,
)
from pm_audit.report.html.scale import Scale, spanning
from pm_audit.report.sanitise import node_id

PLOT_WIDTH = 820.0
LABEL_WIDTH = 300.0
ROLE_WORDS = {
    Role.EXAMPLE: "examples",
    Role.COUNTER_EXAMPLE: "counter-examples",
    Role.CONTROL: "controls",
}


@dataclass(frozen=True, slots=True)
class Range:
    """A mean over prompts with its interval, in the plot's unit."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class CompletionBar:
    """One completion before and after ablation."""

    text: str
    """As filled in for the first prompt."""
    fillings: int
    """How many different texts the prompts make of it."""
    before: Range
    after: Range
    top: float


@dataclass(frozen=True, slots=True)
class RoleBars:
    """The completions of one role."""

    role: str
    title: str
    top: float
    bars: tuple[CompletionBar, ...]


@dataclass(frozen=True, slots=True)
class BarChart:
    """Rewards by completion, before and after."""

    scale: Scale
    height: float
    groups: tuple[RoleBars, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the waterfall, in sigma: it runs from ``start`` to ``end``."""

    title: str
    start: float
    end: float
    share: str
    kind: str


@dataclass(frozen=True, slots=True)
class Waterfall:
    """Where the gap lives."""

    title: str
    """Whose account it is; empty where there is only one."""
    scale: Scale
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Point:
    """One candidate: attribution against contribution, in pixels."""

    x: float
    y: float
    title: str
    selected: bool


@dataclass(frozen=True, slots=True)
class Scatter:
    """How well the cheap score foretold the ablation."""

    across: Scale
    up: Scale
    points: tuple[Point, ...]
    diagonal: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Growth:
    """Closure against the size of the set, a line a fold."""

    across: Scale
    up: Scale
    folds: tuple[tuple[tuple[float, float], ...], ...]


@dataclass(frozen=True, slots=True)
class PromptGap:
    """The gap of one prompt before and after, in sigma."""

    text: str
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class PromptGaps:
    """Every prompt's gap, sorted by the gap before."""

    scale: Scale
    gaps: tuple[PromptGap, ...]


def mean_range(values: list[float]) -> Range:
    """Return the mean of one value a prompt, with a 95% t interval over prompts."""
    mean = fmean(values)
    if len(values) < 2:
        return Range(mean)
    half = float(stdtrit(len(values) - 1, 0.975)) * stdev(values) / math.sqrt(len(values))
    return Range(mean, mean - half, mean + half)


def bar_chart(evidence: Evidence) -> BarChart:
    """Return the before/after chart of a hypothesis' completions."""
    references = {
        prompt: fmean(
            row.reward
            for row in evidence.rows
            if row.prompt == prompt and row.role is Role.COUNTER_EXAMPLE
        )
        for prompt in {row.prompt for row in evidence.rows}
    }

    def relative(rows: list[RowEvidence], read: Callable[[RowEvidence], float]) -> Range:
        by_prompt: dict[int, list[float]] = {}
        for row in rows:
            by_prompt.setdefault(row.prompt, []).append(
                (read(row) - references[row.prompt]) / evidence.sigma
            )
        return mean_range([fmean(values) for values in by_prompt.values()])

    top = 6.0
    groups = []
    everything: list[float | None] = []
    for role, title in ROLE_WORDS.items():
        variants = sorted({row.variant for row in evidence.rows if row.role is role})
        if not variants:
            continue
        group_top = top
        top += 22
        bars = []
        for variant in variants:
            rows = [r for r in evidence.rows if r.role is role and r.variant == variant]
            before = relative(rows, lambda row: row.reward)
            after = relative(rows, lambda row: row.zero)
            for shown in (before, after):
                everything += [shown.value, shown.low, shown.high]
            bars.append(
                CompletionBar(rows[0].text, len({row.text for row in rows}), before, after, top)
            )
            top += 34
        groups.append(RoleBars(role.value, title, group_top, tuple(bars)))
        top += 6
    scale = spanning(everything, start=LABEL_WIDTH, end=PLOT_WIDTH - 16)
    return BarChart(scale, top, tuple(groups))


def waterfalls(hypothesis: HypothesisRecord) -> tuple[Waterfall, ...]:
    """Return where the gap lives: all SAEs together, then each alone where there are several.

    Empty where no gap was taken apart.
    """
    if hypothesis.shares is None:
        return ()
    together = "" if not hypothesis.layer_shares else "all SAEs together"
    accounts = [(together, hypothesis.shares)]
    accounts += [(f"{one.sae} alone", one.shares) for one in hypothesis.layer_shares]
    return tuple(_waterfall(hypothesis, title, shares) for title, shares in accounts)


def _waterfall(hypothesis: HypothesisRecord, title: str, shares: GapShares) -> Waterfall:
    sigma, total = hypothesis.evidence.sigma, hypothesis.gap.value
    parts = (
        ("selected features", shares.selected.value, "selected"),
        ("other features of the SAE", shares.other_features.value, "other"),
        ("the SAE's error term", shares.error_term.value, "error"),
        ("the rest: prompt, length", shares.rest.value, "rest"),
    )
    steps = [Step("the gap", 0.0, total / sigma, "100%", "gap")]
    reached = total
    for name, part, kind in parts:
        share = f"{part / total:.0%}" if total else "-"
        steps.append(Step(name, reached / sigma, (reached - part) / sigma, share, kind))
        reached -= part
    edges = [edge for step in steps for edge in (step.start, step.end)]
    scale = spanning(edges, start=210.0, end=PLOT_WIDTH - 76)
    return Waterfall(title, scale, tuple(steps))


def scatter(hypothesis: HypothesisRecord) -> Scatter | None:
    """Return attribution against contribution, or None with fewer than two candidates."""
    proposed = [
        (feature, feature.attribution)
        for feature in hypothesis.features
        if feature.attribution is not None
    ]
    if len(proposed) < 2:
        return None
    both = [value for feature, score in proposed for value in (score, feature.contribution.value)]
    across = spanning(both, start=52.0, end=388.0)
    up = Scale(across.low, across.high, 300.0, 12.0)
    points = tuple(
        Point(
            across(score),
            up(feature.contribution.value),
            f"{feature}: attribution {score:+.2f}, contribution {feature.contribution.value:+.2f}",
            bool(feature.folds),
        )
        for feature, score in proposed
    )
    diagonal = (across(across.low), up(across.low), across(across.high), up(across.high))
    return Scatter(across, up, points, diagonal)


def growth(hypothesis: HypothesisRecord) -> Growth | None:
    """Return how closure grew with the set, or None where no fold selected anything."""
    curves = [fold.growth for fold in hypothesis.evidence.folds if fold.growth]
    if not curves:
        return None
    longest = max(len(curve) for curve in curves)
    across = Scale(0.0, float(max(longest, 2)), 52.0, 388.0)
    up = spanning([1.0, *(value for curve in curves for value in curve)], start=300.0, end=12.0)
    folds = tuple(
        tuple((across(float(size)), up(value)) for size, value in enumerate((0.0, *curve)))
        for curve in curves
    )
    return Growth(across, up, folds)


def prompt_gaps(evidence: Evidence) -> PromptGaps:
    """Return each prompt's gap before and after, largest first."""

    def gap(prompt: int, read: Callable[[RowEvidence], float]) -> float:
        means = [
            fmean(read(row) for row in evidence.rows if row.prompt == prompt and row.role is role)
            for role in (Role.EXAMPLE, Role.COUNTER_EXAMPLE)
        ]
        return (means[0] - means[1]) / evidence.sigma

    gaps = tuple(
        PromptGap(text, gap(number, lambda row: row.reward), gap(number, lambda row: row.zero))
        for number, text in enumerate(evidence.prompts)
    )
    edges = [edge for shown in gaps for edge in (shown.before, shown.after)]
    scale = spanning(edges, start=LABEL_WIDTH, end=PLOT_WIDTH - 16)
    return PromptGaps(scale, tuple(sorted(gaps, key=lambda shown: -abs(shown.before))))


def anchor(hypothesis: HypothesisRecord, feature: FeatureRecord | None = None) -> str:
    """Return the id of a section or card; names hold letters, digits, ``_ . -`` only."""
    return f"h-{node_id(hypothesis.name)}" + (
        f"-f-{node_id(feature.sae)}-{feature.index}" if feature else ""
    )
