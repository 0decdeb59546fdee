"""All baselines by name: pm_audit's own, and what other packages add.

Another package adds one by an entry point of the group ``pm_audit.baselines`` that names an
instance of ``Baseline``.
"""

from __future__ import annotations

from collections.abc import Mapping

from pm_audit.baselines.baseline import Baseline
from pm_audit.baselines.diverse_probes import DIVERSE_PROBES
from pm_audit.baselines.learned_subspace import LEARNED_SUBSPACE
from pm_audit.baselines.logistic_probe import LOGISTIC_PROBES
from pm_audit.baselines.mean_difference import MEAN_DIFFERENCE
from pm_audit.baselines.neurons import NEURONS
from pm_audit.baselines.pca import PCA_OF_DIFFERENCES
from pm_audit.extensions import registry

OWN: tuple[Baseline, ...] = (
    NEURONS,
    PCA_OF_DIFFERENCES,
    MEAN_DIFFERENCE,
    LOGISTIC_PROBES,
    DIVERSE_PROBES,
    LEARNED_SUBSPACE,
)

GROUP = "pm_audit.baselines"


def baselines() -> Mapping[str, Baseline]:
    """Return all baselines by name, in the order of reports.

    Raises:
        AuditError: two share a name, or an entry point names something else.

    """
    return registry(OWN, GROUP, Baseline)
