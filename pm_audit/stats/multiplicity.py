"""False discovery rate over the hypotheses of a run (Benjamini and Hochberg 1995).

The q-value of a hypothesis is the smallest false discovery rate at which it would still be
called a finding.  Valid for independent and for positively dependent tests; hypotheses that
share a probe are the latter.
"""

from __future__ import annotations

from collections.abc import Sequence

from pm_audit.errors import NumericalError


def benjamini_hochberg(p_values: Sequence[float]) -> tuple[float, ...]:
    """Return the q-value of each p-value, in the order given.

    Raises:
        NumericalError: a p-value is NaN or outside 0 to 1.

    """
    for p_value in p_values:
        if not 0 <= p_value <= 1:
            raise NumericalError(
                f"a p-value is {p_value}; it must lie in 0 to 1: check the rewards for NaN"
            )
    count = len(p_values)
    q_values = [1.0] * count
    least = 1.0
    by_size = sorted(range(count), key=lambda index: p_values[index], reverse=True)
    for position, index in enumerate(by_size):
        least = min(least, p_values[index] * count / (count - position))
        q_values[index] = least
    return tuple(q_values)
