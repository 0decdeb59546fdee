"""One hypothesis as the page shows it: its finding, its features and its plots."""

from __future__ import annotations

from dataclasses import dataclass

from pm_audit.records import Check, FeatureRecord, Figure, HypothesisRecord, Outcome
from pm_audit.report import baselines as baselines_in_words
from pm_audit.report import decomposition, feature_words, figures, findings, wording
from pm_audit.report.feature_words import Word
from pm_audit.report.findings import Finding, Standing
from pm_audit.report.html import baselines as baselines
from pm_audit.report.html import search, strips
from pm_audit.report.html.heatmap import HeatLine, heatmaps
from pm_audit.report.html.scale import Scale, spanning
from pm_audit.report.sanitise import node_id

ATTENTION = frozenset({Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.INVALID})
_KINDS = {
    Standing.AS_EXPECTED: "pass",
    Standing.CONTRARY: "fail",
    Standing.UNDECIDED: "unsure",
    Standing.NOT_JUDGED: "idle",
}


@dataclass(frozen=True, slots=True)
class FeatureCard:
    """One feature as its card shows it."""

    record: FeatureRecord
    anchor: str
    title: str
    words: tuple[Word, ...]
    contribution: Figure
    """In sigma."""
    share: str
    """The contribution as a share of the gap."""
    attribution: float | None
    """In sigma."""
    left_out: str
    heat: tuple[HeatLine, ...]
    corpus: tuple[HeatLine, ...]


@dataclass(frozen=True, slots=True)
class HypothesisEntry:
    """One hypothesis as its row and its section show it."""

    hypothesis: HypothesisRecord
    anchor: str
    finding: Finding
    kind: str
    """Colour of its mark."""
    prompts: str
    band: tuple[float, float] | None
    """Where the claim expects the gap, in percent of the strip."""
    interval: tuple[float, float] | None
    outcomes: dict[Check, Outcome]
    attention: bool
    known_bias: str
    """The accepted failure in words; empty where there is none."""
    figures: tuple[tuple[str, str, Figure], ...]
    """Term of the glossary, title, figure."""
    completions: strips.Completions
    gap_plots: tuple[strips.GapPlot, ...]
    gap_note: str
    scatter: search.Scatter | None
    growth: search.Growth | None
    agreement: str | None
    baselines: baselines.Multiples | None
    placebo: str | None
    prompt_gaps: strips.PromptGaps
    selected: tuple[FeatureCard, ...]
    left_out: tuple[FeatureCard, ...]
    contributions: Scale
    """Axis of the selected features' contributions."""


def entry(hypothesis: HypothesisRecord, forest: Scale) -> HypothesisEntry:
    """Return one hypothesis, with its gap placed on the run's axis."""
    outcomes = wording.checks(hypothesis)
    found = findings.finding(hypothesis)
    cards = [_card(feature, hypothesis) for feature in wording.ranked(hypothesis)]
    selected = tuple(card for card in cards if card.record.folds)
    return HypothesisEntry(
        hypothesis=hypothesis,
        anchor=anchor(hypothesis),
        finding=found,
        kind=_KINDS[found.standing],
        prompts=findings.prompts(hypothesis),
        band=strips.expected_band(hypothesis, forest),
        interval=strips.interval(hypothesis.gap_sigma, forest),
        outcomes=outcomes,
        attention=any(outcome in ATTENTION for outcome in outcomes.values()),
        known_bias=wording.known_bias(hypothesis),
        figures=_figures(hypothesis),
        completions=strips.completions(hypothesis.evidence),
        gap_plots=strips.gap_plots(hypothesis),
        gap_note=decomposition.note(hypothesis),
        scatter=search.scatter(hypothesis),
        growth=search.growth(hypothesis),
        agreement=wording.agreement(hypothesis),
        baselines=baselines.multiples(hypothesis),
        placebo=baselines_in_words.placebo(hypothesis),
        prompt_gaps=strips.prompt_gaps(hypothesis.evidence),
        selected=selected,
        left_out=tuple(card for card in cards if not card.record.folds),
        contributions=spanning(
            [card.contribution.value for card in selected], start=strips.START, end=strips.END
        ),
    )


def anchor(hypothesis: HypothesisRecord, feature: FeatureRecord | None = None) -> str:
    """Return the id of a section or card; names hold letters, digits, ``_ . -`` only."""
    return f"h-{node_id(hypothesis.name)}" + (
        f"-f-{node_id(feature.sae)}-{feature.index}" if feature else ""
    )


def _card(feature: FeatureRecord, hypothesis: HypothesisRecord) -> FeatureCard:
    sigma = hypothesis.evidence.sigma
    return FeatureCard(
        record=feature,
        anchor=anchor(hypothesis, feature),
        title=str(feature),
        words=feature_words.words(feature),
        contribution=figures.in_sigma(feature.contribution, sigma),
        share=figures.share_of(feature.contribution.value, hypothesis.gap.value),
        attribution=None if feature.attribution is None else feature.attribution / sigma,
        left_out=wording.left_out(feature),
        heat=heatmaps(feature.firings),
        corpus=heatmaps(feature.corpus_firings),
    )


def _figures(hypothesis: HypothesisRecord) -> tuple[tuple[str, str, Figure], ...]:
    def in_sigma(figure: Figure | None) -> Figure | None:
        return None if figure is None else figures.in_sigma(figure, hypothesis.evidence.sigma)

    shown = (
        ("gap", "gap", hypothesis.gap_sigma),
        ("residual", "residual", hypothesis.residual_sigma),
        ("residual", "residual, share of the gap", hypothesis.residual_share),
        ("closure", "closure", hypothesis.closure),
        ("closure", "closure, mean replacement", hypothesis.closure_mean),
        ("null", "closure of random sets", hypothesis.null_closure),
        ("placebo", "closure of placebo searches", hypothesis.placebo_closure),
        ("collateral", "collateral", hypothesis.collateral),
        ("interaction", "interaction", in_sigma(hypothesis.interaction)),
        ("residual", "examples moved", in_sigma(hypothesis.examples_moved)),
        ("collateral", "counter-examples moved", in_sigma(hypothesis.counter_examples_moved)),
    )
    return tuple((term, title, figure) for term, title, figure in shown if figure is not None)
