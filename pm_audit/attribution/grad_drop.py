"""GradDrop (AtP*, 2403.00745): features whose direct and indirect effects cancel.

A gradient is a sum over paths.  If two paths cancel, AtP sees nothing, although a real ablation,
which is not linear, may find an effect.  GradDrop takes the gradient once for each block after
the SAE with that block's contribution held constant (the residual path stays), and averages the
sizes of the attributions.  The score is unsigned: it proposes candidates and says no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pm_audit.attribution.integrated_gradients import attributed_at, mean_gradient
from pm_audit.forward.features import Floats
from pm_audit.forward.grid import Integers
from pm_audit.forward.splice import completion_jobs
from pm_audit.forward.trace import Trace
from pm_audit.subject.sae import Sae


@dataclass(frozen=True, eq=False)
class DropScores:
    """Unsigned scores of every active (token, latent)."""

    token: Integers
    """[active], index into the grid's completion tokens."""
    row: Integers
    """[active]"""
    latent: Integers
    """[active]"""
    score: Floats
    """[active], mean over dropped blocks of the attribution's size, in raw reward."""
    dropped: tuple[int, ...]
    """Blocks that were dropped, one at a time."""


def grad_drop(
    trace: Trace, sae: Sae, *, rows: Sequence[int] | Integers | None = None
) -> DropScores:
    """Return scores of every active feature in ``rows``, all for None.

    After the last block nothing can be dropped, and the score is the size of plain AtP.

    Raises:
        SaeError: the SAE is not part of the trace.

    """
    sae = trace.sae(sae.name)
    jobs = completion_jobs(trace, trace.rows(rows))
    blocks = tuple(range(sae.layer + 1, trace.pm.depth))
    total: Floats | float = 0.0
    for block in blocks or (None,):
        gradient = mean_gradient(trace, sae, jobs, [0.0], dropped=block)
        token, latent, value = attributed_at(trace, sae, gradient, jobs.row)
        total = total + np.abs(value)
    score = np.asarray(total / max(1, len(blocks)))
    return DropScores(token, trace.row_of_token()[token], latent, score, blocks)
