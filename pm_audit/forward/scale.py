"""The scale of a PM's rewards: the unit sigma, and the noise below which nothing can be judged.

Sigma is measured on the reference set; noise is the largest change of a reward when the same text
is read again, alone and in a padded batch.  Both are of one objective: two heads on one body share
neither.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pm_audit.forward.grid import Grid, Row
from pm_audit.forward.reference import reference_texts, sigma
from pm_audit.forward.trace import rewards
from pm_audit.subject.plain import plain_rewards
from pm_audit.subject.preference_model import PreferenceModel

NOISE_ROWS = 16
"""Reference completions that are read again, padded and alone."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Sigma and noise of one PM, both raw reward."""

    sigma: float
    noise: float


def measure_scale(pm: PreferenceModel) -> Scale:
    """Read the reference set.

    Raises:
        NumericalError: all completions of every prompt get one reward.

    """
    grid = reference_grid(pm)
    together = rewards(pm, grid)
    # a plain forward knows no completion, so that it makes no lasting edit
    unedited = rewards(replace(pm, edits=()), grid) if pm.edits else together
    some = [row.token_ids for row in grid.rows[:NOISE_ROWS]]
    noise = max(
        float(
            np.abs(plain_rewards(pm, some, batch_size=size).numpy() - unedited[: len(some)]).max()
        )
        for size in (1, len(some))
    )
    return Scale(sigma([row.prompt for row in grid.rows], together), noise)


def reference_grid(pm: PreferenceModel) -> Grid:
    """Return the reference set as the PM reads it."""
    texts = [
        (number, pm.text_format.tokenise(turns, completion))
        for number, turns, completion in reference_texts()
    ]
    return Grid(
        tuple(
            Row(number, one.token_ids, one.completion_start, one.completion_stop)
            for number, one in texts
        )
    )
