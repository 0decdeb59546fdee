"""Cross-fitting: every prompt is tested by a search that has not seen it."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fold:
    """Prompts that a search sees, and prompts on which its result is tested; disjoint."""

    discovery: tuple[int, ...]
    held_out: tuple[int, ...]


def split(prompts: int, folds: int, *, seed: int) -> tuple[Fold, ...]:
    """Deal prompts out into folds; each prompt is held out exactly once.

    With fewer prompts than folds there are as many folds as prompts.  A single prompt cannot be
    split: it is its own discovery, and the verdict calls so few prompts invalid.
    """
    order = list(range(prompts))
    random.Random(seed).shuffle(order)  # noqa: S311 - a partition, not a secret
    if prompts == 1:
        return (Fold((0,), (0,)),)
    parts = [sorted(order[start :: min(folds, prompts)]) for start in range(min(folds, prompts))]
    return tuple(Fold(tuple(sorted(set(order) - set(part))), tuple(part)) for part in parts)
