"""Cross-fitting: every prompt, and every phrasing, is tested by a search that has not seen it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from pm_audit.forward.contrast import Contrast, Mask
from pm_audit.records import Role


@dataclass(frozen=True, slots=True)
class Fold:
    """Prompts that a search sees, and prompts on which its result is tested; disjoint."""

    discovery: tuple[int, ...]
    held_out: tuple[int, ...]
    without: int | None = None
    """Phrasing of the examples that the search does not see either; None if it sees all."""

    def sees(self, contrast: Contrast) -> Mask:
        """Return the rows that the search sees, [row]."""
        rows = contrast.of_prompts(self.discovery)
        return rows & ~self.left_out(contrast)

    def left_out(self, contrast: Contrast) -> Mask:
        """Return the examples of the phrasing that the search does not see, [row]."""
        nothing = contrast.has_role()
        if self.without is None:
            return nothing
        return contrast.phrasings(Role.EXAMPLE).get(self.without, nothing)


def split(gaps: Sequence[float], folds: int, *, seed: int) -> tuple[Fold, ...]:
    """Deal prompts out into folds; each prompt is held out exactly once.

    Prompts of like gaps are dealt to different folds (a randomised block design), so that no fold
    holds the large gaps and another the small ones.  With fewer prompts than folds there are as
    many folds as prompts.  A single prompt cannot be split: it is its own discovery, and the
    verdict calls so few prompts invalid.

    Args:
        gaps: of each prompt, raw reward.
        folds: to deal out.
        seed: of the order within a block.

    """
    if len(gaps) == 1:
        return (Fold((0,), (0,)),)
    parts: list[list[int]] = [[] for _ in range(min(folds, len(gaps)))]
    generator = random.Random(seed)  # noqa: S311 - a partition, not a secret
    ordered = sorted(range(len(gaps)), key=lambda prompt: gaps[prompt])
    for start in range(0, len(ordered), len(parts)):
        block = ordered[start : start + len(parts)]
        for part, prompt in zip(generator.sample(parts, len(block)), block, strict=True):
            part.append(prompt)
    everything = set(range(len(gaps)))
    return tuple(Fold(tuple(sorted(everything - set(part))), tuple(sorted(part))) for part in parts)


def by_phrasing(contrast: Contrast, folds: tuple[Fold, ...]) -> tuple[Fold, ...]:
    """Return folds that leave out one phrasing of the examples each; none if there is only one.

    The prompts of each are those of one of ``folds``, taken in turn, so that neither the tested
    prompts nor the tested phrasing took part in the search.
    """
    phrasings = contrast.phrasings(Role.EXAMPLE)
    if len(phrasings) < 2:
        return ()
    found = []
    for turn, (phrasing, rows) in enumerate(phrasings.items()):
        own = folds[turn % len(folds)]
        others = contrast.has_role(Role.EXAMPLE) & ~rows
        fold = Fold(
            tuple(prompt for prompt in own.discovery if (contrast.prompt[others] == prompt).any()),
            tuple(prompt for prompt in own.held_out if (contrast.prompt[rows] == prompt).any()),
            phrasing,
        )
        if fold.discovery and fold.held_out:
            found.append(fold)
    return tuple(found)


def halves(gaps: Sequence[float], folds: tuple[Fold, ...], *, seed: int) -> tuple[Fold, ...]:
    """Return two halves of the prompts to search in; none if two folds are these halves."""
    if len(folds) <= 2:
        return ()
    return split(gaps, 2, seed=seed)
