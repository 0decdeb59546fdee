"""Mean: the feature's mean over the reference rows' completions, at every completion token."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from pm_audit.forward.grid import Integers
from pm_audit.forward.targets import ConstantTargets, Targets
from pm_audit.forward.trace import Trace
from pm_audit.interventions.replacements.replacement import Replacement


def mean_features(trace: Trace, rows: Sequence[int] | Integers) -> Targets:
    """Return each latent's mean over the rows' completion tokens; inactive ones count as zero."""
    chosen = np.isin(trace.row_of_token(), trace.rows(rows))
    total = max(1, int(chosen.sum()))
    means = {}
    for sae in trace.saes:
        features = trace.features[sae.name]
        counted = torch.from_numpy(chosen).to(features.token.device)[features.token]
        sums = torch.zeros(sae.width, dtype=torch.float64, device=features.value.device)
        sums.index_add_(0, features.latent[counted], features.value[counted].double())
        means[sae.name] = ConstantTargets((sums / total).to(features.value.dtype))
    return means


MEAN = Replacement("mean", lambda experiment, reference: mean_features(experiment.trace, reference))
