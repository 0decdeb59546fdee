"""Rows to prompts: one value per prompt and quantity, the unit of all inference.

All rows of one prompt and role (phrasings of the completion, wordings of the question) are
averaged first, so that twenty wordings of one question count as one prompt and not as twenty.

Sign: a movement is reward after ablation minus reward before; ablating a feature that lowers the
reward moves it up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from pm_audit.judging.soundness import STAGES, require_sound
from pm_audit.records import Evidence, Role

Array = NDArray[np.float64]

TIE_DECIMALS = 9
"""Decimals of sigma to which two prompts must agree to count as tied."""


@dataclass(frozen=True, slots=True)
class OffTarget:
    """A completion template that the ablation should leave alone."""

    role: Role
    variant: int | None
    """None if the completions of a role share no template: those of a preference set."""
    present: Array
    """1 if the prompt has this template, else 0: ``"prompt"``."""
    moved: Array
    """Mean movement under ablation, 0 if absent: ``"prompt"``, raw reward."""

    @property
    def words(self) -> str:
        """Return the name used in reasons, counted from 1 as a reader counts YAML lines."""
        if self.variant is None:
            return f"the mean {self.role.words}"
        return f"{self.role.words} {self.variant + 1}"


@dataclass(frozen=True, slots=True)
class UnseenPhrasing:
    """A test of a phrasing that the search did not see; of all of them if ``phrasing`` is None."""

    phrasing: int | None
    gap: Array
    """``"tested prompt"``, raw, in an order that the values fix."""
    gap_after: Array


@dataclass(frozen=True, slots=True)
class PromptTable:
    """One value for each ``"prompt"``, in raw reward, in an order that the values fix."""

    gap: Array
    gap_ablated: Array
    """Gap after the selected set was replaced."""
    fold: NDArray[np.int64]
    """Number of the fold that holds the prompt out; 0 if nothing was searched."""
    tested: NDArray[np.int64]
    """Number of the set that was tested on the prompt; folds that found one set share it."""
    examples_moved: Array
    counter_examples_moved: Array
    off_targets: tuple[OffTarget, ...]
    null_gap: Array
    """Gap after each matched random set was replaced: ``"set prompt"``."""
    alongside: Array
    """Gap after each of ``Evidence.alongside``: ``"replacement prompt"``."""
    stages: tuple[dict[str, Array], ...]
    """For each of ``Evidence.stages``, the gap after each stage, by its name."""
    unseen: tuple[UnseenPhrasing, ...]
    """The phrasings that were tested unseen, then all of them together; empty if none was."""
    interaction: Array | None
    """Examples' joint effect minus the sum of single effects; None if not run."""

    @property
    def prompts(self) -> int:
        """Return the number of prompts."""
        return len(self.gap)


def tabulate(evidence: Evidence) -> PromptTable:
    """Return the rows of one hypothesis by prompt; refuses what ``require_sound`` refuses."""
    require_sound(evidence)
    count = len(evidence.prompts)
    before, after = (
        [getattr(row, name) for row in evidence.rows] for name in ("reward", "ablated")
    )
    examples_moved, counter_examples_moved = (
        np.subtract(evidence.means(role, after), evidence.means(role, before))
        for role in (Role.EXAMPLE, Role.COUNTER_EXAMPLE)
    )
    gap, gap_ablated = np.array(evidence.gaps(before)), np.array(evidence.gaps(after))
    null_gap = np.array([null.gap for null in evidence.null]).reshape(-1, count)
    alongside = [evidence.gaps(other.rewards) for other in evidence.alongside]
    others = np.array(alongside).reshape(-1, count)
    stages = [
        {name: np.array(evidence.gaps(getattr(stage, name))) for name in STAGES}
        for stage in evidence.stages
    ]
    staged = [gaps for stage in stages for gaps in stage.values()]
    keys = np.stack([*staged, *others, *null_gap, examples_moved, gap_ablated, gap])
    order = _order(keys / evidence.sigma)
    interaction = _interaction(evidence)
    return PromptTable(
        gap=gap[order],
        gap_ablated=gap_ablated[order],
        fold=_folds(evidence)[order],
        tested=_tested(evidence)[order],
        examples_moved=examples_moved[order],
        counter_examples_moved=counter_examples_moved[order],
        off_targets=tuple(
            OffTarget(one.role, one.variant, one.present[order], one.moved[order])
            for one in _off_targets(evidence)
        ),
        null_gap=null_gap[:, order],
        alongside=others[:, order],
        stages=tuple({name: gaps[order] for name, gaps in stage.items()} for stage in stages),
        unseen=tuple(_unseen(evidence)),
        interaction=None if interaction is None else interaction[order],
    )


def _interaction(evidence: Evidence) -> Array | None:
    """Return each prompt's mean over the examples of which features were replaced alone, too."""
    found: list[list[float]] = [[] for _ in evidence.prompts]
    for row in evidence.rows:
        if row.role is Role.EXAMPLE and row.single_sum is not None:
            found[row.prompt].append(row.reward - row.ablated - row.single_sum)
    return np.array([fmean(values) for values in found]) if all(found) else None


def _folds(evidence: Evidence) -> NDArray[np.int64]:
    folds = np.zeros(len(evidence.prompts), dtype=np.int64)
    for number, fold in enumerate(evidence.folds):
        folds[list(fold.held_out)] = number
    return folds


def _tested(evidence: Evidence) -> NDArray[np.int64]:
    sets = [frozenset(map(str, fold.selected)) for fold in evidence.folds]
    return np.array([sets.index(one) for one in sets] or [0])[_folds(evidence)]


def _off_targets(evidence: Evidence) -> Iterable[OffTarget]:
    cells: dict[tuple[Role, int], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in evidence.rows:
        if row.role is not Role.EXAMPLE:
            cells[row.role, row.variant][row.prompt].append(row.ablated - row.reward)
    for (role, variant), by_prompt in sorted(cells.items()):
        present = np.zeros(len(evidence.prompts))
        moved = np.zeros(len(evidence.prompts))
        for prompt, movements in by_prompt.items():
            present[prompt] = 1.0
            moved[prompt] = fmean(movements)
        yield OffTarget(role, None if evidence.pairs else variant, present, moved)


def _unseen(evidence: Evidence) -> Iterator[UnseenPhrasing]:
    """Yield each tested phrasing, then each prompt's mean over the phrasings tested on it."""
    tests = [
        (one.phrasing, prompt, gap, after)
        for one in evidence.transfer
        for prompt, gap, after in zip(one.prompts, one.gap, one.gap_after, strict=True)
    ]
    if not tests:
        return
    phrasing, prompt, *pair = np.array(tests).T
    gaps = np.stack(pair, axis=1)
    for number in np.unique(phrasing):
        yield _in_order(int(number), gaps[phrasing == number], evidence.sigma)
    means = np.array([gaps[prompt == one].mean(axis=0) for one in np.unique(prompt)])
    yield _in_order(None, means, evidence.sigma)


def _in_order(phrasing: int | None, gaps: Array, sigma: float) -> UnseenPhrasing:
    gap, after = gaps[_order(gaps.T[::-1] / sigma)].T
    return UnseenPhrasing(phrasing, gap, after)


def _order(keys: Array) -> NDArray[np.int64]:
    """Return an order of prompts that the values ``"key prompt"`` alone fix; the last key leads.

    The bootstrap draws prompts by position, and so no figure depends on the order in which prompts
    were written.  Rounded keys lead, so that the last bit of a float decides between ties only.
    """
    return np.lexsort([*keys, *np.round(keys, TIE_DECIMALS)])
