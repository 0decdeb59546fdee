"""Records as tables: a pandas frame in one call.

One row a hypothesis, a feature or a completion.  Columns of a figure end in ``_low`` and
``_high`` for its interval; rewards are raw unless the name says ``sigma`` or the figure is a
share.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pm_audit.records import AuditRecord, FeatureRecord, Figure, HypothesisRecord
from pm_audit.report import decomposition, feature_words, figures, findings, scope
from pm_audit.report.viewed import require_readable

if TYPE_CHECKING:
    import pandas as pd

_FIGURES = (
    "gap",
    "gap_sigma",
    "residual",
    "residual_sigma",
    "residual_share",
    "closure",
    "sufficiency",
    "transfer_closure",
    "stability",
    "collateral",
    "examples_moved",
    "counter_examples_moved",
    "null_closure",
)


def frame(record: AuditRecord) -> pd.DataFrame:
    """Return one row a hypothesis: figures with intervals, outcomes and counts."""
    return _frame(record, lambda one: [_hypothesis_row(record, one)])


def features_frame(record: AuditRecord) -> pd.DataFrame:
    """Return one row a candidate feature of a hypothesis."""
    return _frame(record, lambda one: [_feature_row(one, feature) for feature in one.features])


def rewards_frame(record: AuditRecord) -> pd.DataFrame:
    """Return one row a prompt and completion: rewards before and after each intervention."""
    return _frame(record, _reward_rows)


def _frame(
    record: AuditRecord, rows: Callable[[HypothesisRecord], list[dict[str, Any]]]
) -> pd.DataFrame:
    import pandas as pd  # a plain run needs no pandas

    require_readable(record)
    return pd.DataFrame([row for hypothesis in record.hypotheses for row in rows(hypothesis)])


FRAMES = {"hypotheses": frame, "features": features_frame, "completions": rewards_frame}
"""Tables of a record by what their rows are."""


def _hypothesis_row(record: AuditRecord, hypothesis: HypothesisRecord) -> dict[str, Any]:
    row: dict[str, Any] = {
        "hypothesis": hypothesis.name,
        "file": hypothesis.file,
        "line": hypothesis.line,
        "claim": hypothesis.claim,
        "pm": record.subject.pm,
        "expected": hypothesis.expect.get("gap"),
        "standing": findings.standing(hypothesis).value,
        "found": findings.finding(hypothesis).sentence,
        "sigma": hypothesis.evidence.sigma,
    }
    for name in _FIGURES:
        row.update(_figure_cells(name, getattr(hypothesis, name)))
    row |= {f"closure_fold_{at}": one for at, one in enumerate(hypothesis.closure_by_fold, start=1)}
    for other in hypothesis.alongside:
        row.update(_figure_cells(f"closure_under_{other.replacement}", other.closure))
    for number, one in enumerate(scope.phrasings(hypothesis), start=1):
        row[f"phrasing_{number}"] = one.phrasing
        row[f"phrasing_{number}_seen"] = one.seen
        row.update(_figure_cells(f"phrasing_{number}_unseen", one.figure))
    together = hypothesis.decompositions[0] if hypothesis.decompositions else None
    for name in (*decomposition.PARTS, "error_first"):
        row.update(_figure_cells(f"gap_in_{name}", getattr(together, name, None)))
    row.update({f"check_{result.check}": result.outcome.value for result in hypothesis.checks})
    row["q_value"] = hypothesis.q_value
    row["prompts"] = hypothesis.evidence.tried
    row["prompts_searched"] = len(hypothesis.evidence.prompts)
    row["prompts_of_probe"] = hypothesis.probe_prompts
    row["features_selected"] = sum(bool(feature.folds) for feature in hypothesis.features)
    return row


def _reward_rows(hypothesis: HypothesisRecord) -> list[dict[str, Any]]:
    evidence = hypothesis.evidence
    others = {f"ablated_{other.replacement}": other.rewards for other in evidence.alongside}
    return [
        {
            "hypothesis": hypothesis.name,
            "prompt_text": evidence.prompts[row.prompt],
            **row.model_dump(mode="json"),
            **{name: rewards[at] for name, rewards in others.items()},
        }
        for at, row in enumerate(evidence.rows)
    ]


def _token(feature: FeatureRecord) -> str | None:
    """Return the token on which a feature fires most, by its name if it stands for no character."""
    if not feature.firings:
        return None
    strongest = feature.firings[0]
    return strongest.token or feature_words.name_of_token(strongest)


def _feature_row(hypothesis: HypothesisRecord, feature: FeatureRecord) -> dict[str, Any]:
    in_sigma = figures.in_sigma(feature.contribution, hypothesis.evidence.sigma)
    gap = hypothesis.explained_gap.value
    return {
        "hypothesis": hypothesis.name,
        "sae": feature.sae,
        "layer": feature.layer,
        "index": feature.index,
        "label": feature_words.label(feature) or None,
        "label_source": feature.label and feature.label.source.value,
        "label_score": feature.label and feature.label.score,
        **_figure_cells("contribution", feature.contribution),
        **_figure_cells("contribution_sigma", in_sigma),
        "share_of_gap": feature.contribution.value / gap if gap else None,
        "attribution": feature.attribution,
        "elsewhere": 1 - feature.selectivity,
        "frequency": feature.frequency,
        "selected_in_folds": len(feature.folds),
        "fires_on": _token(feature),
        "promotes": " ".join(feature.promotes) or None,
    }


def _figure_cells(name: str, figure: Figure | None) -> dict[str, float | None]:
    if figure is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    return {name: figure.value, f"{name}_low": figure.low, f"{name}_high": figure.high}
