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
from pm_audit.errors import AuditError
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
SAE_FEATURES = "sae features"
"""The first of every contest: the SAE's own."""


def baselines() -> Mapping[str, Baseline]:
    """Return all baselines by name, in the order of reports.

    Raises:
        AuditError: two share a name, or an entry point names something else.

    """
    entries = registry(OWN, GROUP, Baseline)
    if SAE_FEATURES in entries:
        raise AuditError(
            f"a baseline of {GROUP} is named {SAE_FEATURES!r}, which stands for the SAE's own; "
            "rename it, or remove the package that offers it"
        )
    return entries
