"""One hypothesis as the page's templates get it: its finding, its features and its plots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pm_audit.records import NOT_PASSED, FeatureRecord, HypothesisRecord
from pm_audit.report import (
    baselines,
    figures,
    findings,
    wording,
)
from pm_audit.report.findings import Standing
from pm_audit.report.html import conditions, plots
from pm_audit.report.html.heatmap import heatmaps
from pm_audit.report.html.scale import Scale, strip_scale
from pm_audit.report.over_time.notes import Note
from pm_audit.report.sanitise import node_id

_KINDS = {
    Standing.AS_EXPECTED: "pass",
    Standing.CONTRARY: "fail",
    Standing.UNDECIDED: "unsure",
    Standing.NOT_JUDGED: "idle",
}
"""Colour of a finding's mark."""


def entry(
    hypothesis: HypothesisRecord, forest: Scale, replacement: str, notes: Sequence[Note] = ()
) -> dict[str, Any]:
    """Return one hypothesis, with its gap placed on the run's axis.

    ``replacement`` is the method's own, ``notes`` are those on the whole record.
    """
    outcomes = hypothesis.outcomes
    found = findings.finding(hypothesis)
    cards = [_card(feature, hypothesis) for feature in wording.ranked(hypothesis)]
    selected = [card for card in cards if card["record"].folds]
    return {
        "hypothesis": hypothesis,
        "anchor": anchor(hypothesis),
        "finding": found,
        "kind": _KINDS[found.standing],
        "prompts": findings.prompts(hypothesis),
        "searched": wording.searched(hypothesis),
        "band": plots.expected_band(hypothesis, forest),
        "interval": plots.interval(hypothesis.gap_sigma, forest),
        "outcomes": outcomes,
        "attention": not NOT_PASSED.isdisjoint(outcomes.values()),
        "known_bias": wording.known_bias(hypothesis),
        "notes": [note for note in notes if note.about(hypothesis)],
        "figures": wording.shown_figures(hypothesis),
        "completions": plots.completions(hypothesis.evidence),
        "gap_plots": plots.gap_plots(hypothesis),
        "conditions": conditions.conditions(hypothesis, replacement),
        "scatter": plots.scatter(hypothesis),
        "growth": plots.growth(hypothesis),
        "agreement": wording.agreement(hypothesis),
        "baselines": plots.baselines(hypothesis),
        "table": baselines.table(hypothesis),
        "standing": baselines.standing(hypothesis),
        "placebo": baselines.placebo(hypothesis),
        "prompt_gaps": plots.prompt_gaps(hypothesis.evidence),
        "selected": selected,
        "not_selected": [card for card in cards if not card["record"].folds],
        # the axis of the selected features' contributions
        "contributions": strip_scale(card["contribution"].value for card in selected),
    }


def anchor(hypothesis: HypothesisRecord, feature: FeatureRecord | None = None) -> str:
    """Return the id of a section or card; names hold letters, digits, ``_ . -`` only."""
    return f"h-{node_id(hypothesis.name)}" + (
        f"-f-{node_id(feature.sae)}-{feature.index}" if feature else ""
    )


def _card(feature: FeatureRecord, hypothesis: HypothesisRecord) -> dict[str, Any]:
    """Return one feature as its card shows it, effects in sigma."""
    sigma = hypothesis.evidence.sigma
    return {
        "record": feature,
        "anchor": anchor(hypothesis, feature),
        "contribution": figures.in_sigma(feature.contribution, sigma),
        "share": figures.share_of(feature.contribution.value, hypothesis.explained_gap.value),
        "attribution": wording.attribution(feature, hypothesis),
        "elsewhere": wording.elsewhere(feature),
        "selected_by": wording.selected_by(feature, hypothesis),
        "label": wording.label_origin(feature),
        "heat": heatmaps(feature.firings),
        "corpus": heatmaps(feature.corpus_firings),
    }
