"""Records as tables: a pandas frame in one call.

One row a hypothesis, a feature or a completion.  Columns of a figure end in ``_low`` and
``_high`` for its interval; rewards are raw unless the name says ``sigma`` or the figure is a
share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pm_audit.records import AuditRecord, FeatureRecord, Figure, HypothesisRecord
from pm_audit.report import decomposition, feature_words, figures, findings
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
    "closure_mean",
    "collateral",
    "examples_moved",
    "counter_examples_moved",
    "null_closure",
)


def frame(record: AuditRecord) -> pd.DataFrame:
    """Return one row a hypothesis: figures with intervals, outcomes and counts."""
    import pandas as pd  # a plain run needs no pandas

    require_readable(record)
    return pd.DataFrame([_hypothesis_row(record, hypothesis) for hypothesis in record.hypotheses])


def features_frame(record: AuditRecord) -> pd.DataFrame:
    """Return one row a candidate feature of a hypothesis."""
    import pandas as pd

    require_readable(record)
    return pd.DataFrame(
        [
            {
                "hypothesis": hypothesis.name,
                "sae": feature.sae,
                "layer": feature.layer,
                "index": feature.index,
                "fires_on_words": feature_words.label(feature) or None,
                **_figure_cells("contribution", feature.contribution),
                **_figure_cells("contribution_sigma", _in_sigma(feature, hypothesis)),
                "share_of_gap": _share_of_gap(feature, hypothesis),
                "attribution": feature.attribution,
                "selectivity": feature.selectivity,
                "frequency": feature.frequency,
                "selected_in_folds": len(feature.folds),
                "dropped_by": feature.dropped_by,
                "fires_on": _token(feature),
            }
            for hypothesis in record.hypotheses
            for feature in hypothesis.features
        ]
    )


def rewards_frame(record: AuditRecord) -> pd.DataFrame:
    """Return one row a prompt and completion: rewards before and after each intervention."""
    import pandas as pd

    require_readable(record)
    return pd.DataFrame(
        [
            {
                "hypothesis": hypothesis.name,
                "prompt_text": hypothesis.evidence.prompts[row.prompt],
                **row.model_dump(mode="json"),
            }
            for hypothesis in record.hypotheses
            for row in hypothesis.evidence.rows
        ]
    )


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
    for name in decomposition.PARTS:
        together = hypothesis.decompositions[0] if hypothesis.decompositions else None
        row.update(_figure_cells(f"gap_in_{name}", getattr(together, name, None)))
    row.update({f"check_{result.check}": result.outcome.value for result in hypothesis.checks})
    row["q_value"] = hypothesis.q_value
    row["prompts"] = len(hypothesis.evidence.prompts)
    row["prompts_of_probe"] = hypothesis.probe_prompts
    row["features_selected"] = sum(bool(feature.folds) for feature in hypothesis.features)
    return row


def _token(feature: FeatureRecord) -> str | None:
    """Return the token on which a feature fires most, by its name if it stands for no character."""
    if not feature.firings:
        return None
    strongest = feature.firings[0]
    return strongest.token or feature_words.name_of_token(strongest)


def _in_sigma(feature: FeatureRecord, hypothesis: HypothesisRecord) -> Figure:
    return figures.in_sigma(feature.contribution, hypothesis.evidence.sigma)


def _share_of_gap(feature: FeatureRecord, hypothesis: HypothesisRecord) -> float | None:
    gap = hypothesis.gap.value
    return feature.contribution.value / gap if gap else None


def _figure_cells(name: str, figure: Figure | None) -> dict[str, float | None]:
    if figure is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    return {name: figure.value, f"{name}_low": figure.low, f"{name}_high": figure.high}
