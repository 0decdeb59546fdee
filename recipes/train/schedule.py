"""The learning rate of the recipes: a linear warm-up, then a cosine down to a small share."""

from __future__ import annotations

import math


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
