"""The steps of the recipes, and their learning rate: a linear warm-up, then a cosine down."""

from __future__ import annotations

import math

from pm_audit.errors import AuditError


def warm_cosine(step: int, *, warmup: int, steps: int, least: float) -> float:
    """Return the share of the full learning rate at ``step``, counted from 0.

    Args:
        step: of the run.
        warmup: steps until the rate is whole.
        steps: of the whole run.
        least: share at the end.

    """
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return least + (1 - least) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def require_batch(count: int, batch: int, epochs: float) -> None:
    """Refuse ``count`` tokens that fill no batch, with which nothing would train.

    Raises:
        AuditError: there would be no step.

    """
    if count < batch or count * epochs < batch:
        raise AuditError(
            f"{count:,} tokens make no batch of {batch:,} in {epochs:g} passes; "
            "choose a smaller batch, or give more data"
        )
