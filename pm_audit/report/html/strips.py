"""Rows of a plot: a label in the page's own text and a strip that is drawn next to it.

Places on a strip are percentages of its width, so that a plot fits every screen while its labels
and ticks keep their size.  Effects are in sigma.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy.special import stdtrit

from pm_audit.judging.prompts import ROLE_WORDS
from pm_audit.records import (
    AuditRecord,
    Evidence,
    Figure,
    GapDecomposition,
    HypothesisRecord,
    Role,
    RowEvidence,
)
from pm_audit.report import decomposition, figures, findings
from pm_audit.report.difference import Part, shortened
from pm_audit.report.html.scale import Scale, spanning

START, END = 3.0, 97.0
"""Percent of a strip's width between which values are drawn."""


@dataclass(frozen=True, slots=True)
class Range:
    """A mean over prompts with its interval, in sigma."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class CompletionRow:
    """One completion before and after ablation."""

    role: str
    parts: tuple[Part, ...]
    """As filled in for the first prompt, cut around what differs from its counterpart."""
    text: str
    before: Range
    after: Range


@dataclass(frozen=True, slots=True)
class Completions:
    """Rewards by completion, before and after; a group pairs what differs in one thing."""

    scale: Scale
    groups: tuple[tuple[CompletionRow, ...], ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One part of the gap, in sigma: the bar runs from ``start`` to ``end``."""

    title: str
    start: float
    end: float
    share: str
    kind: str


@dataclass(frozen=True, slots=True)
class GapPlot:
    """Where the gap lives."""

    title: str
    """Whose decomposition it is; empty if there is only one."""
    scale: Scale
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class PromptGap:
    """The gap of one prompt before and after, in sigma."""

    text: str
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class PromptGaps:
    """Every prompt's gap, largest first."""

    scale: Scale
    gaps: tuple[PromptGap, ...]


def forest(record: AuditRecord) -> Scale:
    """Return the one axis on which every gap and residual of the run is drawn."""
    edges = [
        edge
        for hypothesis in record.hypotheses
        for figure in (hypothesis.gap_sigma, hypothesis.residual_sigma)
        for edge in (figure.low, figure.value, figure.high)
    ]
    return spanning(edges, start=START, end=END)


def expected_band(hypothesis: HypothesisRecord, scale: Scale) -> tuple[float, float] | None:
    """Return from where to where the claim expects the gap, in percent; None if it is unknown."""
    most = findings.margin(hypothesis)
    match findings.expected(hypothesis):
        case "raises":
            return scale(0.0), 100.0
        case "lowers":
            return 0.0, scale(0.0)
        case "no gap" if most is not None:
            return scale(max(-most, scale.low)), scale(min(most, scale.high))
        case _:
            return None


def mean_range(values: list[float]) -> Range:
    """Return the mean of one value a prompt, with a 95% t interval over prompts."""
    mean = fmean(values)
    if len(values) < 2:
        return Range(mean)
    half = float(stdtrit(len(values) - 1, 0.975)) * stdev(values) / math.sqrt(len(values))
    return Range(mean, mean - half, mean + half)


def completions(evidence: Evidence) -> Completions:
    """Return the completions by template, an example next to its counter-example.

    Rewards are against the mean of the same prompt's counter-examples, because the level of a
    reward has no meaning of its own.  Intervals are t intervals over prompts; they describe, and
    no verdict rests on them.
    """
    references = evidence.means(Role.COUNTER_EXAMPLE, [row.reward for row in evidence.rows])
    templates: dict[tuple[Role, int], list[RowEvidence]] = {}
    for row in evidence.rows:
        templates.setdefault((row.role, row.variant), []).append(row)

    def relative(rows: list[RowEvidence], read: Callable[[RowEvidence], float]) -> Range:
        by_prompt: dict[int, list[float]] = {}
        for row in rows:
            value = (read(row) - references[row.prompt]) / evidence.sigma
            by_prompt.setdefault(row.prompt, []).append(value)
        return mean_range([fmean(values) for values in by_prompt.values()])

    def shown(role: Role, variant: int, counterpart: Role) -> CompletionRow:
        rows = templates[role, variant]
        others = templates.get((counterpart, variant))
        text = rows[0].text
        return CompletionRow(
            role=ROLE_WORDS[role],
            parts=shortened(text, others[0].text if others else None),
            text=text,
            before=relative(rows, lambda row: row.reward),
            after=relative(rows, lambda row: row.zero),
        )

    groups = []
    for variant in sorted({variant for role, variant in templates if role is not Role.CONTROL}):
        pairs = ((Role.EXAMPLE, Role.COUNTER_EXAMPLE), (Role.COUNTER_EXAMPLE, Role.EXAMPLE))
        group = [shown(own, variant, other) for own, other in pairs if (own, variant) in templates]
        groups.append(tuple(group))
    controls = sorted(variant for role, variant in templates if role is Role.CONTROL)
    if controls:
        groups.append(tuple(shown(Role.CONTROL, at, Role.COUNTER_EXAMPLE) for at in controls))
    edges = [
        edge
        for group in groups
        for row in group
        for drawn in (row.before, row.after)
        for edge in (drawn.low, drawn.value, drawn.high)
    ]
    return Completions(spanning(edges, start=START, end=END), tuple(groups))


def gap_plots(hypothesis: HypothesisRecord) -> tuple[GapPlot, ...]:
    """Return where the gap lives, a plot a decomposition."""
    return tuple(
        _gap_plot(hypothesis, title, one) for title, one in decomposition.titled(hypothesis)
    )


def _gap_plot(hypothesis: HypothesisRecord, title: str, of: GapDecomposition) -> GapPlot:
    sigma, total = hypothesis.evidence.sigma, hypothesis.gap.value
    steps = [Step("the gap", 0.0, total / sigma, "100%", "gap")]
    reached = total
    for kind, name, part in decomposition.parts(of):
        left = reached - part.value
        share = figures.share_of(part.value, total)
        steps.append(Step(name, reached / sigma, left / sigma, share, kind))
        reached = left
    edges = [edge for step in steps for edge in (step.start, step.end)]
    return GapPlot(title, spanning(edges, start=START, end=END), tuple(steps))


def prompt_gaps(evidence: Evidence) -> PromptGaps:
    """Return each prompt's gap before and after, largest first."""
    before, after = evidence.gaps(), evidence.gaps([row.zero for row in evidence.rows])
    gaps = [
        PromptGap(text, one / evidence.sigma, other / evidence.sigma)
        for text, one, other in zip(evidence.prompts, before, after, strict=True)
    ]
    edges = [edge for shown in gaps for edge in (shown.before, shown.after)]
    scale = spanning(edges, start=START, end=END)
    return PromptGaps(scale, tuple(sorted(gaps, key=lambda shown: -abs(shown.before))))


def interval(figure: Figure, scale: Scale) -> tuple[float, float] | None:
    """Return an interval's ends in percent, open ends at the edge; None where it has neither."""
    if figure.low is None and figure.high is None:
        return None
    return (
        0.0 if figure.low is None else scale(figure.low),
        100.0 if figure.high is None else scale(figure.high),
    )
