"""Judge one hypothesis from its evidence, and settle a run.

``judge`` is deterministic: equal evidence, method and expectation give an equal record, which
is what lets a record be verified from its own evidence (``rejudge``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pm_audit.judging.baselines import measure_baselines, placebo_closure
from pm_audit.judging.checks import check_explained, check_fit, check_gap, check_specific
from pm_audit.judging.figures import Ratios, Shares, as_figure, bootstrap_of, measure
from pm_audit.judging.layers import measure_layers
from pm_audit.judging.policy import read_expect, read_known_bias
from pm_audit.judging.warnings import warnings_of
from pm_audit.records import (
    Check,
    Evidence,
    FeatureRecord,
    Figure,
    GapShares,
    HypothesisRecord,
    LayerShares,
    MethodRecord,
    Unit,
)
from pm_audit.spec import Hypothesis
from pm_audit.stats import Interval, PromptBootstrap, benjamini_hochberg

FALSE_DISCOVERY_RATE = 0.05
DISCOVERY_WARNING = "after Benjamini-Hochberg over "


@dataclass(frozen=True, slots=True)
class _Identity:
    """Which hypothesis, as it stands in the record."""

    name: str
    file: str
    line: int
    lines: dict[str, int]
    claim: str
    effect: str
    tags: tuple[str, ...]
    severity: str
    objective: str | None
    expect: dict[str, Any]
    known_bias: dict[str, Any] | None
    probe_prompts: int | None


def judge(
    hypothesis: Hypothesis,
    evidence: Evidence,
    features: Sequence[FeatureRecord],
    *,
    method: MethodRecord,
) -> HypothesisRecord:
    """Return the record of one hypothesis: figures, checks, reasons and warnings.

    The q-value is the p-value until ``settle`` has seen the whole run.

    Raises:
        NumericalError: a number of the evidence is not finite.
        RecordError: the evidence is torn, or selection and test share prompts.

    """
    known_bias = hypothesis.known_bias
    identity = _Identity(
        name=hypothesis.full_name,
        file=hypothesis.file,
        line=hypothesis.line,
        lines=hypothesis.kept_lines,
        claim=hypothesis.claim,
        effect=hypothesis.effect.value,
        tags=hypothesis.tags,
        severity=hypothesis.severity.value,
        objective=hypothesis.objective,
        expect=hypothesis.expect.model_dump(mode="json"),
        known_bias=None if known_bias is None else known_bias.model_dump(mode="json"),
        probe_prompts=len(hypothesis.prompts) or None,
    )
    return _judge(identity, evidence, tuple(features), method)


def rejudge(record: HypothesisRecord, *, method: MethodRecord) -> HypothesisRecord:
    """Judge again from what the record itself holds; equal to the record if nothing was changed.

    The q-value and its warning need the whole run: pass the results to ``settle``.
    """
    identity = _Identity(
        name=record.name,
        file=record.file,
        line=record.line,
        lines=record.lines,
        claim=record.claim,
        effect=record.effect,
        tags=record.tags,
        severity=record.severity,
        objective=record.objective,
        expect=dict(record.expect),
        known_bias=record.known_bias,
        probe_prompts=record.probe_prompts,
    )
    return _judge(identity, record.evidence, record.features, method)


def settle(hypotheses: Sequence[HypothesisRecord]) -> tuple[HypothesisRecord, ...]:
    """Fill in the q-values over a run, and warn where a gap does not survive them.

    Outcomes stay as judged, so that one hypothesis's verdict never hangs on which others ran.
    """
    q_values = benjamini_hochberg([record.p_value for record in hypotheses])
    settled = []
    for record, q_value in zip(hypotheses, q_values, strict=True):
        warnings = tuple(
            warning for warning in record.warnings if not warning.startswith(DISCOVERY_WARNING)
        )
        if record.closure is not None and not q_value <= FALSE_DISCOVERY_RATE:
            warnings += (
                f"{DISCOVERY_WARNING}{len(q_values)} hypotheses the gap is no longer significant "
                f"(p = {record.p_value:.2g}, q = {q_value:.2g})",
            )
        update = {"q_value": q_value, "warnings": warnings}
        settled.append(record.model_copy(update=update).sealed())
    return tuple(settled)


def figure_of(values: Sequence[float], *, method: MethodRecord, unit: Unit) -> Figure:
    """Return the mean of one value per prompt with its interval, as every figure here has it.

    For figures that no check compares, such as a feature's contribution.
    """
    bootstrap = PromptBootstrap(
        len(values),
        resamples=method.bootstrap_resamples,
        confidence=method.confidence,
        seed=method.seed,
    )
    return as_figure(bootstrap.mean(np.sort(np.asarray(values, dtype=np.float64))), unit)


def _judge(
    identity: _Identity,
    evidence: Evidence,
    features: tuple[FeatureRecord, ...],
    method: MethodRecord,
) -> HypothesisRecord:
    expect = read_expect(identity)
    read_known_bias(identity)
    figures = measure(evidence, method, margin=expect.margin, probe_prompts=identity.probe_prompts)
    fit = check_fit(figures, expect, evidence)
    by_check = {
        Check.GAP: check_gap(figures, expect),
        Check.EXPLAINED: check_explained(figures, expect, evidence, fit=fit),
        Check.SPECIFIC: check_specific(figures, expect, evidence),
        Check.FIT: fit,
    }
    ratios = figures.ratios
    return HypothesisRecord(
        name=identity.name,
        file=identity.file,
        line=identity.line,
        lines=identity.lines,
        claim=identity.claim,
        effect=identity.effect,
        tags=identity.tags,
        severity=identity.severity,
        objective=identity.objective,
        expect=identity.expect,
        known_bias=identity.known_bias,
        gap=as_figure(figures.gap, Unit.REWARD),
        gap_sigma=as_figure(figures.gap_sigma, Unit.SIGMA),
        residual=as_figure(figures.residual, Unit.REWARD),
        residual_sigma=as_figure(figures.residual.scaled(1 / figures.sigma), Unit.SIGMA),
        residual_share=_share(None if ratios is None else ratios.closure.one_minus()),
        closure=_share(None if ratios is None else ratios.closure),
        closure_mean=_share(None if ratios is None else ratios.closure_mean),
        collateral=_share(None if ratios is None else ratios.collateral),
        examples_moved=as_figure(figures.examples_moved, Unit.REWARD),
        counter_examples_moved=as_figure(figures.counter_examples_moved, Unit.REWARD),
        null_closure=None if ratios is None else _null(ratios),
        shares=None if figures.shares is None else _shares(figures.shares),
        layer_shares=() if ratios is None else _layer_shares(evidence, method),
        interaction=None
        if figures.interaction is None
        else as_figure(figures.interaction, Unit.REWARD),
        p_value=figures.p_value,
        q_value=figures.p_value,
        minimum_detectable_gap=figures.minimum_detectable_gap,
        probe_prompts=identity.probe_prompts,
        features=features,
        checks=tuple(by_check[check] for check in Check),
        warnings=warnings_of(figures, expect, evidence),
        baselines=() if ratios is None else measure_baselines(evidence, method),
        placebo_closure=None if ratios is None else placebo_closure(evidence),
        evidence=evidence,
    ).sealed()


def _share(interval: Interval | None) -> Figure | None:
    return None if interval is None else as_figure(interval, Unit.SHARE)


def _shares(shares: Shares) -> GapShares:
    return GapShares(
        selected=as_figure(shares.selected, Unit.REWARD),
        other_features=as_figure(shares.other_features, Unit.REWARD),
        error_term=as_figure(shares.error_term, Unit.REWARD),
        rest=as_figure(shares.rest, Unit.REWARD),
    )


def _layer_shares(evidence: Evidence, method: MethodRecord) -> tuple[LayerShares, ...]:
    return tuple(
        LayerShares(sae=layer.sae, layer=layer.layer, shares=_shares(shares))
        for layer, shares in measure_layers(evidence, bootstrap_of(evidence, method))
    )


def _null(ratios: Ratios) -> Figure | None:
    if not len(ratios.null_closures):
        return None
    return Figure(
        value=float(np.median(ratios.null_closures)),
        low=float(np.min(ratios.null_closures)),
        high=ratios.null_bar,
        unit=Unit.SHARE,
    )
