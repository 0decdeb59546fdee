"""Is a gap wrong?  How far a PM leans on a contrast beyond the people who labelled the pairs.

Among pairs of which exactly one side shows something, the share in which the PM prefers that side
less the share in which the labellers do.  The labellers prefer each pair's examples.  Bharadwaj et
al. (2025, arXiv 2506.05339) measure length, structure, jargon, sycophancy and vagueness so.

Sign: positive means that the PM leans towards it too far.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pm_audit.data.pair import Pair
from pm_audit.errors import AuditError
from pm_audit.judging.intervals import as_difference
from pm_audit.records.repair import Miscalibration
from pm_audit.stats import mean_over_prompts

Side = npt.NDArray[np.float64]
"""[pair]: positive if the examples show it, negative if the counter-examples do, zero if both or
neither."""

LONGER = "longer"
"""The contrast of length, which every pair has."""


def miscalibration(
    contrast: str,
    side: npt.ArrayLike,
    gaps: npt.ArrayLike,
    prompts: npt.ArrayLike,
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Miscalibration | None:
    """Return how far a PM's lean differs from the labellers', or None if no pair has one side.

    Args:
        contrast: what is shown, for the record.
        side: [pair], positive if the examples show it, negative if the counter-examples do.
        gaps: [pair], reward of the examples less that of the counter-examples; a tie counts half.
        prompts: [pair], which prompt each has: the unit of inference.
        confidence: of the interval.
        resamples: of prompts.
        seed: of the resampling.

    Raises:
        AuditError: the three are not of one length, or hold numbers that are not finite.

    """
    shown, reward = np.asarray(side, dtype=np.float64), np.asarray(gaps, dtype=np.float64)
    _, prompt = np.unique(np.asarray(prompts), return_inverse=True)
    if shown.ndim != 1 or not shown.shape == reward.shape == prompt.shape:
        raise AuditError(
            f"{contrast}: {shown.shape} sides, {reward.shape} gaps and {prompt.shape} prompts; "
            "give one of each for every pair"
        )
    if not (np.isfinite(shown).all() and np.isfinite(reward).all()):
        raise AuditError(f"{contrast}: a side or a gap is not finite; leave that pair out")
    once = np.flatnonzero(shown)
    if not len(once):
        return None
    towards = np.sign(shown[once])
    by_pm = (1 + np.sign(reward[once]) * towards) / 2
    by_labellers = (1 + towards) / 2
    difference = mean_over_prompts(
        by_pm - by_labellers,
        prompt[once].astype(np.int64),
        confidence=confidence,
        resamples=resamples,
        seed=seed,
    )
    return Miscalibration(
        contrast=contrast,
        pairs=len(once),
        prompts=len(set(prompt[once].tolist())),
        by_pm=float(by_pm.mean()),
        by_labellers=float(by_labellers.mean()),
        difference=as_difference(difference),
    )


def columns_sides(pairs: Sequence[Pair], columns: Sequence[str]) -> dict[str, Side]:
    """Return the sides of pairs by length, and by columns of numbers.

    Raises:
        AuditError: a column is not in the pairs, or holds anything but numbers.

    """
    lengths = [
        np.mean([len(text) for text in pair.examples])
        - np.mean([len(text) for text in pair.counter_examples])
        for pair in pairs
    ]
    found = {LONGER: np.sign(np.array(lengths, dtype=np.float64))}
    for column in columns:
        values = [pair.columns.get(column) for pair in pairs]
        strange = next((repr(one) for one in values if _strange(one)), None)
        if strange is not None or all(one is None for one in values):
            held = f"holds {strange[:40]}" if strange is not None else "is not there"
            raise AuditError(
                f"contrast {column!r} {held}; name a column of numbers, positive if the example "
                "shows more of it and negative if the counter-example does"
            )
        found[column] = np.array([0.0 if one is None else float(one) for one in values])
    return found


def _strange(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, float) and not math.isfinite(value))
