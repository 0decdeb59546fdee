"""GradDrop (AtP*, 2403.00745): features whose direct and indirect effects cancel.

A gradient is a sum over paths.  If two paths cancel, AtP sees nothing, although a real ablation,
which is not linear, may find an effect.  GradDrop takes the gradient once for each block after
the SAE with that block's contribution held constant (the residual path stays), and averages the
sizes of the attributions.  The score is unsigned: it proposes candidates and says no more.
"""

from __future__ import annotations

from collections.abc import Sequence

from scipy.sparse import csr_array

from pm_audit.attribution.integrated_gradients import attributed_at, mean_gradient
from pm_audit.forward.edits import targets_of
from pm_audit.forward.grid import Integers
from pm_audit.forward.splice import completion_jobs
from pm_audit.forward.targets import Targets
from pm_audit.forward.trace import Trace
from pm_audit.subject.sae import Sae


def grad_drop(
    trace: Trace,
    sae: Sae,
    *,
    rows: Sequence[int] | Integers | None = None,
    targets: Targets | None = None,
) -> csr_array:
    """Return [latent row], the mean over dropped blocks of the attribution's size, in raw reward.

    Args:
        trace: the clean forward, with ``sae``.
        sae: whose features are scored.
        rows: rows of the grid; all for None.  The others have no score.
        targets: what would stand in the features' place; None for zero.

    After the last block nothing can be dropped, and the score is the size of plain AtP.

    Raises:
        SaeError: the SAE is not part of the trace.

    """
    sae = trace.sae(sae.name)
    jobs = completion_jobs(trace, trace.rows(rows))
    own = targets_of(trace, sae, targets)
    blocks = tuple(range(sae.layer + 1, trace.pm.depth))
    total = csr_array((sae.width, len(trace.grid)))
    for block in blocks or (None,):
        gradient = mean_gradient(trace, sae, jobs, [0.0], dropped=block)
        token, latent, value, absent = attributed_at(trace, sae, gradient, jobs.row, own)
        row = trace.row_of_token()[token]
        total += abs(csr_array((value, (latent, row)), shape=total.shape) + absent)
    return csr_array(total / max(1, len(blocks)))
