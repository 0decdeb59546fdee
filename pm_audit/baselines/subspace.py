"""Ablating a subspace: the stream's part in it is set to a reference, the rest stays.

With orthonormal directions D [direction hidden] and reference m, at completion positions only,

    x' = x - ((x - m) D^T) D        m: the counter-examples' mean stream, or zero

Sign: as everywhere, a contribution is reward minus reward after ablation.
"""

from __future__ import annotations

from torch import Tensor

from pm_audit.forward.features import Floats
from pm_audit.forward.grid import Integers
from pm_audit.forward.packing import Batch
from pm_audit.forward.splice import replay_completions
from pm_audit.forward.trace import Trace


def ablate_subspace(
    trace: Trace,
    layer: int,
    directions: Tensor,
    *,
    centre: Tensor | None = None,
    rows: Integers | None = None,
) -> Floats:
    """Return rewards [row] with the span of orthonormal ``directions`` at its reference.

    The stream after ``layer`` is changed; ``centre`` [hidden] is the reference, zero for None.
    """
    if not len(directions):
        return trace.rewards[trace.rows(rows)]
    directions = directions.to(trace.device)

    def project(_: Batch, stream: Tensor) -> Tensor:
        return without(stream, directions, centre)

    return replay_completions(trace, {layer: project}, rows)


def without(stream: Tensor, directions: Tensor, centre: Tensor | None) -> Tensor:
    """Return the stream [token hidden] with the span of orthonormal directions at its reference."""
    wide = stream.float()
    off = wide if centre is None else wide - centre
    return (wide - (off @ directions.T) @ directions).to(stream.dtype)
