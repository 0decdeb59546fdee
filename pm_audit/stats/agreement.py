"""How well a cheap prediction agrees with the measured effects that it stands for.

Attribution proposes and ablation decides; these figures say how well the proposal predicted.  A
measured effect of exactly zero has no sign and is left out of the share of signs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement of predicted and measured effects."""

    rank_correlation: float | None
    """Spearman's; None for fewer than three features or if all values tie."""
    sign_agreement: float | None
    """Share of features, among those with an effect, whose sign was predicted; 0 to 1."""


def agreement(predicted: Floats, measured: Floats) -> Agreement:
    """Compare predicted with measured effects, one entry a feature.

    Raises:
        ValueError: the two have different shapes.

    """
    predicted, measured = np.asarray(predicted, float), np.asarray(measured, float)
    if predicted.shape != measured.shape:
        raise ValueError(f"{predicted.shape} predictions for {measured.shape} measured effects")
    varied = len(measured) > 2 and np.ptp(predicted) > 0 and np.ptp(measured) > 0
    moved = measured != 0
    return Agreement(
        rank_correlation=float(spearmanr(predicted, measured).statistic) if varied else None,
        sign_agreement=(
            float((np.sign(predicted[moved]) == np.sign(measured[moved])).mean())
            if moved.any()
            else None
        ),
    )
