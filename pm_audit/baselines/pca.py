"""PCA of differences: the main axes of what sets examples apart from their counter-examples.

Singular vectors of the differences of mean streams, example less its prompt's counter-examples,
not centred (Zou et al. 2023, arXiv 2310.01405): centring would take out what all examples share.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pm_audit.baselines.baseline import Baseline
from pm_audit.baselines.discovery import Discovery


def pca_of_differences(discovery: Discovery, most: int) -> Tensor:
    """Return the leading axes [direction hidden], widest first."""
    _, spread, axes = torch.linalg.svd(discovery.differences, full_matrices=False)
    kept: Tensor = axes[spread > 1e-9 * spread.max().clamp_min(1e-12)]
    return kept[:most].float()


PCA_OF_DIFFERENCES = Baseline("pca of differences", pca_of_differences)
