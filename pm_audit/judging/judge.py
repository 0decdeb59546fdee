"""Judge one hypothesis from its evidence, and settle a run.

``judge`` is deterministic: equal evidence, method and expectation give an equal record, which
is what lets a record be verified from its own evidence (``rejudge``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pm_audit.judging.baselines import measure_baselines, placebo_closure
from pm_audit.judging.checks import Question, judge_all
from pm_audit.judging.figures import measure
from pm_audit.judging.intervals import as_figure, bootstrap_of
from pm_audit.judging.policy import read_expect, read_known_bias
from pm_audit.judging.ratios import Ratios
from pm_audit.judging.warnings import warnings_of
from pm_audit.records import (
    Alongside,
    Evidence,
    FeatureRecord,
    Figure,
    HypothesisRecord,
    MethodRecord,
    Transfer,
    Unit,
)
from pm_audit.spec import Expect, Hypothesis
from pm_audit.stats import Interval, benjamini_hochberg

FALSE_DISCOVERY_RATE = 0.05
DISCOVERY_WARNING = "after Benjamini-Hochberg over "

_WRITTEN = (
    *("name", "file", "line", "lines", "claim", "effect", "tags", "severity", "objective"),
    *("expect", "known_bias", "probe_prompts"),
)
"""Fields of a record that identify its hypothesis; all others are computed."""


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
    written = hypothesis.model_dump(mode="json", include=set(_WRITTEN)) | {
        "name": hypothesis.full_name,
        "lines": hypothesis.kept_lines,
        "probe_prompts": len(hypothesis.prompts) or None,
    }
    return _judge(written, hypothesis.expect, evidence, tuple(features), method)


def rejudge(record: HypothesisRecord, *, method: MethodRecord) -> HypothesisRecord:
    """Judge again from what the record itself holds; equal to the record if nothing was changed.

    The q-value and its warning need the whole run: pass the results to ``settle``.
    """
    read_known_bias(record)
    written = {name: getattr(record, name) for name in _WRITTEN}
    return _judge(written, read_expect(record), record.evidence, record.features, method)


def settle(hypotheses: Sequence[HypothesisRecord]) -> tuple[HypothesisRecord, ...]:
    """Fill in the q-values over a run, and warn if a gap does not survive them.

    Outcomes stay as judged, so that one hypothesis's verdict never depends on which others ran.
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
    """Return the mean of one value per prompt with an interval, for figures of no check."""
    bootstrap = bootstrap_of(len(values), method)
    return as_figure(bootstrap.mean(np.sort(np.asarray(values, dtype=np.float64))), unit)


def _judge(
    written: Mapping[str, Any],
    expect: Expect,
    evidence: Evidence,
    features: tuple[FeatureRecord, ...],
    method: MethodRecord,
) -> HypothesisRecord:
    tried_of = written["probe_prompts"]
    figures = measure(evidence, method, margin=expect.margin, probe_prompts=tried_of)
    return HypothesisRecord(
        **written,
        gap=as_figure(figures.gap, Unit.REWARD),
        gap_sigma=as_figure(figures.gap_sigma, Unit.SIGMA),
        searched_gap=_figure(figures.searched_gap, Unit.REWARD),
        residual=as_figure(figures.residual, Unit.REWARD),
        residual_sigma=as_figure(figures.residual.scaled(1 / figures.sigma), Unit.SIGMA),
        examples_moved=as_figure(figures.examples_moved, Unit.REWARD),
        counter_examples_moved=as_figure(figures.counter_examples_moved, Unit.REWARD),
        **_shares(figures.ratios, evidence, method),
        stability=_figure(figures.stability, Unit.SHARE),
        decompositions=figures.decompositions,
        interaction=_figure(figures.interaction, Unit.REWARD),
        p_value=figures.p_value,
        q_value=figures.p_value,
        minimum_detectable_gap=figures.minimum_detectable_gap,
        features=features,
        checks=judge_all(Question(figures, expect, evidence)),
        warnings=warnings_of(figures, expect, evidence),
        evidence=evidence,
    ).sealed()


def _shares(ratios: Ratios | None, evidence: Evidence, method: MethodRecord) -> dict[str, Any]:
    """Return the fields that divide by the gap; None and empty if none was found."""
    if ratios is None:
        return dict.fromkeys(("residual_share", "closure", "collateral", "null_closure"))
    return {
        "residual_share": as_figure(ratios.closure.one_minus(), Unit.SHARE),
        "closure": as_figure(ratios.closure, Unit.SHARE),
        "closure_by_fold": ratios.closure_by_fold,
        "alongside": tuple(
            Alongside(replacement=one.replacement, closure=as_figure(one.closure, Unit.SHARE))
            for one in ratios.alongside
        ),
        "sufficiency": _figure(ratios.sufficiency, Unit.SHARE),
        "transfer": tuple(
            Transfer(phrasing=one.phrasing, closure=_figure(one.closure, Unit.SHARE))
            for one in ratios.transfer
        ),
        "transfer_closure": _figure(ratios.transfer_closure, Unit.SHARE),
        "collateral": _figure(ratios.collateral, Unit.SHARE),
        "null_closure": _null(ratios),
        "baselines": measure_baselines(evidence, method),
        "placebo_closure": placebo_closure(evidence),
    }


def _figure(interval: Interval | None, unit: Unit) -> Figure | None:
    return None if interval is None else as_figure(interval, unit)


def _null(ratios: Ratios) -> Figure | None:
    if not len(ratios.null_closures):
        return None
    return Figure(
        value=float(np.median(ratios.null_closures)),
        low=float(np.min(ratios.null_closures)),
        high=ratios.null_bar,
        unit=Unit.SHARE,
    )
