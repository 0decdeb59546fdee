"""Where the gap lives as each of several SAEs by itself sees it.

The account of all SAEs together replaces at every layer at once.  Here one SAE at a time is
replaced, by the same steps on the same prompts, so that a reader sees at which depth the reason
for a gap has become features, and at which it is not yet, or no longer, in them.
"""

from __future__ import annotations

from pm_audit.errors import RecordError
from pm_audit.judging.figures import Shares, share_out
from pm_audit.judging.prompts import tabulate
from pm_audit.records import Evidence, LayerEvidence
from pm_audit.stats import PromptBootstrap


def measure_layers(
    evidence: Evidence, bootstrap: PromptBootstrap
) -> tuple[tuple[LayerEvidence, Shares], ...]:
    """Return each SAE's own account of the gap, in the order of the evidence.

    Raises:
        RecordError: an account lacks a row.

    """
    found = []
    for layer in evidence.layers:
        shares = share_out(tabulate(_as_seen_by(layer, evidence)), bootstrap)
        if shares is not None:
            found.append((layer, shares))
    return tuple(found)


def _as_seen_by(layer: LayerEvidence, evidence: Evidence) -> Evidence:
    stages = {
        "mean": layer.mean,
        "features_replaced": layer.features_replaced,
        "stream_replaced": layer.stream_replaced,
    }
    count = len(evidence.rows)
    for name, rewards in stages.items():
        if len(rewards) != count:
            raise RecordError(
                f"SAE {layer.sae}: {name} has {len(rewards)} rewards for {count} rows; the record "
                "is torn, audit again"
            )
    rows = tuple(
        row.model_copy(update={name: rewards[at] for name, rewards in stages.items()})
        for at, row in enumerate(evidence.rows)
    )
    return evidence.model_copy(update={"rows": rows})
