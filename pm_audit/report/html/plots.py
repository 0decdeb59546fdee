"""Values and axes of the page's plots; the templates draw them.

Places on a strip are percentages of its width, so that a plot fits every screen while its labels
keep their size; other plots are in pixels.  What lies beyond an axis is drawn at its edge.
Effects are in sigma.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import chain
from statistics import fmean, stdev
from typing import Generic, NamedTuple, TypeVar

from scipy.special import stdtrit

from pm_audit.records import (
    AuditRecord,
    Baseline,
    Evidence,
    Figure,
    GapDecomposition,
    HypothesisRecord,
    Role,
    RowEvidence,
    Unit,
)
from pm_audit.report import decomposition, feature_words, figures, findings
from pm_audit.report.html.difference import Part, shortened
from pm_audit.report.html.scale import Scale, spanning, strip_scale

_LEFT, _RIGHT, _TOP, _BOTTOM = 58.0, 388.0, 12.0, 300.0
_PROMPTS_DRAWN = 200
"""Prompts of a preference set that the page draws one by one."""

_BEYOND = 1.15
"""Candidates up to this factor above the largest selected value lie inside the axes: one that moves
everything can be ten times as large as the gap."""

_SHARES = (-0.5, 1.5)
"""Shares at which the axis of the baselines ends; the table next to it holds every figure."""


Drawn = TypeVar("Drawn")


class CompletionRow(NamedTuple):
    """One completion before and after ablation."""

    role: str
    parts: tuple[Part, ...]
    """As filled in for the first prompt, cut around what differs from its counterpart."""
    text: str
    before: Figure
    after: Figure


class Step(NamedTuple):
    """One part of the gap: the bar runs from ``start`` to ``end``."""

    title: str
    start: float
    end: float
    share: str
    kind: str


class PromptGap(NamedTuple):
    """The gap of one prompt before and after ablation."""

    text: str
    before: float
    after: float


class Candidate(NamedTuple):
    """A candidate feature: the score that proposed it, and what its ablation did."""

    title: str
    attribution: float
    contribution: float
    selected: bool
    inside: bool
    """Within the axes."""


class Growth(NamedTuple):
    """Shares of the gap on one fold's discovery prompts, by size of the set from 0."""

    closure: tuple[float, ...]
    collateral: tuple[float, ...]


class Strips(NamedTuple, Generic[Drawn]):
    """Rows on one axis."""

    scale: Scale
    drawn: tuple[Drawn, ...]
    title: str = ""


class Plot(NamedTuple, Generic[Drawn]):
    """Points on two axes."""

    across: Scale
    up: Scale
    drawn: tuple[Drawn, ...]


def forest(record: AuditRecord) -> Scale:
    """Return the one axis on which every gap and residual of the run is drawn."""
    shown = ((one.gap_sigma, one.residual_sigma) for one in record.hypotheses)
    return strip_scale(chain.from_iterable(map(edges, chain.from_iterable(shown))))


def expected_band(hypothesis: HypothesisRecord, scale: Scale) -> tuple[float, float] | None:
    """Return from where to where the claim expects the gap, in percent; None if it is unknown."""
    most = findings.margin(hypothesis)
    match findings.expected(hypothesis):
        case "raises":
            return scale(0.0), 100.0
        case "lowers":
            return 0.0, scale(0.0)
        case "no gap" if most is not None:
            return scale.clamped(-most), scale.clamped(most)
        case _:
            return None


def interval(figure: Figure, scale: Scale) -> tuple[float, float] | None:
    """Return an interval's ends in percent, open ends at the edge; None if it has neither."""
    if figure.low is None and figure.high is None:
        return None
    return (
        0.0 if figure.low is None else scale(figure.low),
        100.0 if figure.high is None else scale(figure.high),
    )


def mean_over_prompts(values: list[float]) -> Figure:
    """Return the mean of one value a prompt, with a 95% t interval over prompts."""
    mean = fmean(values)
    if len(values) < 2:
        return Figure(value=mean, unit=Unit.SIGMA)
    half = float(stdtrit(len(values) - 1, 0.975)) * stdev(values) / math.sqrt(len(values))
    return Figure(value=mean, low=mean - half, high=mean + half, unit=Unit.SIGMA)


def completions(evidence: Evidence) -> Strips[tuple[CompletionRow, ...]]:
    """Return the completions by template, an example in a group with its counter-example.

    Rewards are against the mean of the same prompt's counter-examples, because the level of a
    reward has no meaning of its own.  Intervals are t intervals over prompts; they describe, and
    no verdict rests on them.
    """
    references = evidence.means(Role.COUNTER_EXAMPLE, [row.reward for row in evidence.rows])
    templates: dict[tuple[Role, int], list[RowEvidence]] = {}
    for row in evidence.rows:
        templates.setdefault((row.role, row.variant), []).append(row)

    def relative(rows: list[RowEvidence], read: Callable[[RowEvidence], float]) -> Figure:
        by_prompt: dict[int, list[float]] = {}
        for row in rows:
            value = (read(row) - references[row.prompt]) / evidence.sigma
            by_prompt.setdefault(row.prompt, []).append(value)
        return mean_over_prompts([fmean(values) for values in by_prompt.values()])

    def shown(role: Role, variant: int, counterpart: Role) -> CompletionRow:
        rows = templates[role, variant]
        others = templates.get((counterpart, variant))
        return CompletionRow(
            role.words,
            shortened(rows[0].text, others[0].text if others else None),
            rows[0].text,
            relative(rows, lambda row: row.reward),
            relative(rows, lambda row: row.ablated),
        )

    pairs = ((Role.EXAMPLE, Role.COUNTER_EXAMPLE), (Role.COUNTER_EXAMPLE, Role.EXAMPLE))
    groups = [
        tuple(shown(own, variant, other) for own, other in pairs if (own, variant) in templates)
        for variant in sorted({variant for role, variant in templates if role is not Role.CONTROL})
    ]
    controls = sorted(variant for role, variant in templates if role is Role.CONTROL)
    if controls:
        groups.append(tuple(shown(Role.CONTROL, at, Role.COUNTER_EXAMPLE) for at in controls))
    drawn = [figure for group in groups for row in group for figure in (row.before, row.after)]
    return Strips(strip_scale(chain.from_iterable(map(edges, drawn))), tuple(groups))


def gap_plots(hypothesis: HypothesisRecord) -> tuple[Strips[Step], ...]:
    """Return where the gap lives, a plot a decomposition; its last step is no part of the sum."""
    return tuple(
        _gap_plot(hypothesis, title, one) for title, one in decomposition.titled(hypothesis)
    )


def _gap_plot(hypothesis: HypothesisRecord, title: str, of: GapDecomposition) -> Strips[Step]:
    sigma, total = hypothesis.evidence.sigma, hypothesis.explained_gap.value
    steps = [Step("the gap", 0.0, total / sigma, "100%", "gap")]
    reached = total
    for kind, name, part in decomposition.parts(of):
        left = reached - part.value
        share = figures.share_of(part.value, total)
        steps.append(Step(name, reached / sigma, left / sigma, share, kind))
        reached = left
    before = (total - of.error_first.value) / sigma
    share = figures.share_of(of.error_first.value, total)
    steps.append(Step(decomposition.ERROR_FIRST, total / sigma, before, share, "error_first"))
    scale = strip_scale(edge for step in steps for edge in (step.start, step.end))
    return Strips(scale, tuple(steps), title)


def prompt_gaps(evidence: Evidence) -> Strips[PromptGap]:
    """Return each prompt's gap before and after, largest first; of very many, these alone."""
    before, after = evidence.gaps(), evidence.gaps([row.ablated for row in evidence.rows])
    gaps = [
        PromptGap(text, one / evidence.sigma, other / evidence.sigma)
        for text, one, other in zip(evidence.prompts, before, after, strict=True)
    ]
    drawn = sorted(gaps, key=lambda shown: -abs(shown.before))[:_PROMPTS_DRAWN]
    scale = strip_scale(edge for shown in drawn for edge in (shown.before, shown.after))
    more = f"The {_PROMPTS_DRAWN} largest of {len(gaps):,}." if len(gaps) > len(drawn) else ""
    return Strips(scale, tuple(drawn), more)


def scatter(hypothesis: HypothesisRecord) -> Plot[Candidate] | None:
    """Return attribution against contribution; None with fewer than two candidates."""
    sigma = hypothesis.evidence.sigma
    proposed = [
        (feature, feature.attribution / sigma, feature.contribution.value / sigma)
        for feature in hypothesis.features
        if feature.attribution is not None
    ]
    if len(proposed) < 2:
        return None
    mattering = [one for one in proposed if one[0].folds] or proposed
    limit = _BEYOND * max(abs(value) for one in mattering for value in one[1:])
    near = (one[1:] for one in proposed if all(abs(value) <= limit for value in one[1:]))
    across = spanning(chain.from_iterable(near), start=_LEFT, end=_RIGHT)
    drawn = []
    for feature, score, effect in proposed:
        title = (
            f"{feature_words.name(feature)}: attribution {figures.signed(score)}, "
            f"contribution {figures.signed(effect)} sigma"
        )
        inside = all(across.low <= value <= across.high for value in (score, effect))
        drawn.append(Candidate(title, score, effect, bool(feature.folds), inside))
    return Plot(across, Scale(across.low, across.high, _BOTTOM, _TOP), tuple(drawn))


def growth(hypothesis: HypothesisRecord) -> Plot[Growth] | None:
    """Return closure and collateral by size of the set; None if no fold selected anything."""
    curves = tuple(
        Growth((0.0, *fold.growth), (0.0, *fold.collateral))
        for fold in hypothesis.evidence.folds
        if fold.growth
    )
    if not curves:
        return None
    longest = max(len(curve.closure) - 1 for curve in curves)
    across = Scale(0.0, float(max(longest, 2)), _LEFT, _RIGHT)
    shares = chain.from_iterable((*curve.closure, *curve.collateral) for curve in curves)
    up = spanning([1.0, *shares], start=_BOTTOM, end=_TOP)
    return Plot(across, up, curves)


def baselines(hypothesis: HypothesisRecord) -> Plot[Baseline] | None:
    """Return the baselines on one pair of axes, a panel each; None if none was run."""
    ran = tuple(baseline for baseline in hypothesis.baselines if baseline.points)
    if not ran:
        return None
    points = [point for baseline in ran for point in baseline.points]
    shown = [one.value for point in points for one in (point.closure, point.collateral) if one]
    lowest, highest = _SHARES
    across = Scale(0.0, float(max(2, *(point.directions for point in points))), 40.0, 252.0)
    up = Scale(max(lowest, min(0.0, *shown)), min(highest, max(1.05, *shown)), 148.0, 12.0)
    return Plot(across, up, ran)


def edges(figure: Figure) -> tuple[float | None, ...]:
    """Return what an axis must hold of a figure."""
    return figure.low, figure.value, figure.high
