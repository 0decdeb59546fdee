"""Mean: the mean over the reference rows' completions, at every completion token."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pm_audit.forward.grid import Integers
from pm_audit.forward.targets import Targets
from pm_audit.forward.trace import Trace
from pm_audit.interventions.replacements.means import group_means
from pm_audit.interventions.replacements.replacement import Replacement


def mean_features(trace: Trace, rows: Sequence[int] | Integers) -> Targets:
    """Return each latent's mean over the rows' completion tokens; inactive ones count as zero."""
    weight = np.isin(trace.row_of_token(), trace.rows(rows)).astype(np.float64)
    everywhere = np.zeros(len(weight), dtype=np.int64)
    return {sae.name: group_means(trace, sae, everywhere, weight, groups=1) for sae in trace.saes}


MEAN = Replacement("mean", lambda experiment, reference: mean_features(experiment.trace, reference))
