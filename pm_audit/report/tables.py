"""Records as tables: a pandas frame in one call, Parquet and formula-safe CSV.

One row a hypothesis, a feature or a completion.  Columns of a figure end in ``_low`` and
``_high`` for its interval; rewards are raw unless the name says ``sigma`` or the figure is a
share.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pm_audit.errors import RecordError
from pm_audit.records import AuditRecord, FeatureRecord, Figure, HypothesisRecord, write_atomically
from pm_audit.report import feature_words, figures, findings, sanitise
from pm_audit.report.soundness import require_readable

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
                "fires_on": feature.firings[0].token if feature.firings else None,
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


def csv(table: pd.DataFrame) -> str:
    """Return a table as CSV whose text cells no spreadsheet reads as a formula."""
    safe = table.copy()
    for column in safe.columns:
        safe[column] = [
            sanitise.csv(cell) if isinstance(cell, str) else cell for cell in safe[column]
        ]
    safe.columns = [sanitise.csv(str(column)) for column in safe.columns]
    return str(safe.to_csv(index=False, lineterminator="\n"))


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table as formula-safe CSV, all of it or nothing."""
    write_atomically(path, csv(table))


def write_parquet(table: pd.DataFrame, path: Path) -> None:
    """Write a table as Parquet, texts exactly as they are.

    Raises:
        RecordError: pandas has no Parquet engine.

    """
    buffer = io.BytesIO()
    try:
        table.to_parquet(buffer, index=False)
    except ImportError:
        raise RecordError(
            f"{path}: Parquet needs an engine that pandas can use; `pip install pyarrow`"
        ) from None
    write_atomically(path, buffer.getvalue())


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
    row.update({f"check_{result.check}": result.outcome.value for result in hypothesis.checks})
    row["q_value"] = hypothesis.q_value
    row["prompts"] = len(hypothesis.evidence.prompts)
    row["prompts_of_probe"] = hypothesis.probe_prompts
    row["features_selected"] = sum(bool(feature.folds) for feature in hypothesis.features)
    return row


def _in_sigma(feature: FeatureRecord, hypothesis: HypothesisRecord) -> Figure:
    return figures.in_sigma(feature.contribution, hypothesis.evidence.sigma)


def _share_of_gap(feature: FeatureRecord, hypothesis: HypothesisRecord) -> float | None:
    gap = hypothesis.gap.value
    return feature.contribution.value / gap if gap else None


def _figure_cells(name: str, figure: Figure | None) -> dict[str, float | None]:
    if figure is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    return {name: figure.value, f"{name}_low": figure.low, f"{name}_high": figure.high}
