"""False discovery rate over the hypotheses of a run (Benjamini and Hochberg 1995).

The q-value of a hypothesis is the smallest false discovery rate at which it would still be
called a finding.  Valid for independent and for positively dependent tests; hypotheses that
share a probe are the latter.

``scipy.stats.false_discovery_control`` rounds in another order: its q-values differ in the last
digit for three of the fifteen shipped hypotheses, and records of one audit must be equal.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pm_audit.errors import NumericalError


def benjamini_hochberg(p_values: Sequence[float]) -> tuple[float, ...]:
    """Return the q-value of each p-value, in the order given.

    Raises:
        NumericalError: a p-value is NaN or outside 0 to 1.

    """
    p = np.asarray(p_values, float)
    if not np.all((p >= 0) & (p <= 1)):
        raise NumericalError(
            f"the p-values {p} must lie in 0 to 1; check the rewards for NaN or infinity"
        )
    largest_first = np.argsort(-p, kind="stable")
    q = np.empty_like(p)
    scaled = p[largest_first] * len(p) / np.arange(len(p), 0, -1)
    q[largest_first] = np.minimum.accumulate(np.minimum(scaled, 1))
    return tuple(q.tolist())
