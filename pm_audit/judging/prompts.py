"""Rows to prompts: one value per prompt and quantity, the unit of all inference.

All rows of one prompt and role (phrasings of the completion, wordings of the question) are
averaged first, so that twenty wordings of one question count as one prompt and not as twenty.

Sign: a movement is reward after ablation minus reward before; ablating a feature that lowers the
reward moves it up.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from pm_audit.errors import NumericalError, RecordError
from pm_audit.records import Evidence, Role

Array = NDArray[np.float64]

READINGS = ("reward", "zero", "mean", "spliced", "single_sum")

LARGEST_REWARD = 3.4028235e38
"""Largest number of float32, in which rewards are read; cubes of it still fit into float64."""

SMALLEST_SIGMA = 1.1754944e-38
"""Smallest normal number of float32: no spread of rewards is smaller."""

TIE_DECIMALS = 9
"""Decimals of sigma to which two prompts must agree to count as tied."""

_TORN = "the record is torn, audit again"


@dataclass(frozen=True, slots=True)
class OffTarget:
    """A completion template that the ablation should leave alone."""

    role: Role
    variant: int
    present: Array
    """1 if the prompt has this template, else 0: ``"prompt"``."""
    moved: Array
    """Mean movement under ablation, 0 if absent: ``"prompt"``, raw reward."""

    @property
    def words(self) -> str:
        """Return the name used in reasons, counted from 1 as a reader counts YAML lines."""
        return f"{self.role.words} {self.variant + 1}"


@dataclass(frozen=True, slots=True)
class PromptTable:
    """One value for each ``"prompt"``, in raw reward, in an order that the values fix."""

    gap: Array
    gap_zero: Array
    """Gap after the selected set was ablated to zero."""
    gap_mean: Array
    """Gap after the selected set was set to its counter-example mean."""
    gap_spliced: Array
    """Gap under the SAE's reconstruction."""
    examples_moved: Array
    counter_examples_moved: Array
    off_targets: tuple[OffTarget, ...]
    null_gap: Array
    """Gap after each matched random set was ablated: ``"set prompt"``."""
    replaced: tuple[Array, ...]
    """For each of ``Evidence.replaced``, the gap after each stage: ``"stage prompt"``."""
    interaction: Array | None
    """Examples' joint effect minus the sum of single effects; None if not run."""

    @property
    def prompts(self) -> int:
        """Return the number of prompts."""
        return len(self.gap)


def tabulate(evidence: Evidence) -> PromptTable:
    """Return the rows of one hypothesis by prompt; refuses what ``require_sound`` refuses."""
    require_sound(evidence)
    rewards = {name: [getattr(row, name) for row in evidence.rows] for name in READINGS}
    level = {
        role: {name: np.array(evidence.means(role, rewards[name])) for name in READINGS[:4]}
        for role in (Role.EXAMPLE, Role.COUNTER_EXAMPLE)
    }
    examples, others = level[Role.EXAMPLE], level[Role.COUNTER_EXAMPLE]
    gap, gap_zero, gap_mean, gap_spliced = (
        examples[name] - others[name] for name in ("reward", "zero", "mean", "spliced")
    )
    examples_moved = examples["zero"] - examples["reward"]
    null_gap = np.array([null.gap for null in evidence.null], dtype=np.float64)
    null_gap = null_gap.reshape(-1, len(evidence.prompts))
    # The bootstrap draws prompts by position.  An order fixed by the values alone makes every
    # figure independent of the order in which prompts were written.
    # Rounded, so that the last bit of a float does not decide between prompts that tie.
    keys = np.stack([*null_gap, examples_moved, gap_spliced, gap_mean, gap_zero, gap])
    order = np.lexsort(np.round(keys / evidence.sigma, TIE_DECIMALS))
    stages = (
        np.array(
            [evidence.gaps(one.selected), evidence.gaps(one.features), evidence.gaps(one.stream)]
        )
        for one in evidence.replaced
    )
    interaction = None
    if all(row.single_sum is not None for row in evidence.rows if row.role is Role.EXAMPLE):
        single_sum = np.array(evidence.means(Role.EXAMPLE, rewards["single_sum"]))
        interaction = (-examples_moved - single_sum)[order]
    return PromptTable(
        gap=gap[order],
        gap_zero=gap_zero[order],
        gap_mean=gap_mean[order],
        gap_spliced=gap_spliced[order],
        examples_moved=examples_moved[order],
        counter_examples_moved=(others["zero"] - others["reward"])[order],
        off_targets=tuple(
            OffTarget(one.role, one.variant, one.present[order], one.moved[order])
            for one in _off_targets(evidence)
        ),
        null_gap=null_gap[:, order],
        replaced=tuple(gaps[:, order] for gaps in stages),
        interaction=interaction,
    )


def _off_targets(evidence: Evidence) -> Iterable[OffTarget]:
    cells: dict[tuple[Role, int], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in evidence.rows:
        if row.role is not Role.EXAMPLE:
            cells[row.role, row.variant][row.prompt].append(row.zero - row.reward)
    for (role, variant), by_prompt in sorted(cells.items()):
        present = np.zeros(len(evidence.prompts))
        moved = np.zeros(len(evidence.prompts))
        for prompt, movements in by_prompt.items():
            present[prompt] = 1.0
            moved[prompt] = fmean(movements)
        yield OffTarget(role, variant, present, moved)


def require_sound(evidence: Evidence) -> None:
    """Refuse evidence from which no figure could be computed.

    Raises:
        NumericalError: a number is not finite, or sigma is not positive.
        RecordError: a row, a fold or a random set is missing, or a prompt is in two folds.

    """
    _check_numbers(evidence)
    _check_shape(evidence)


def _check_numbers(evidence: Evidence) -> None:
    for row in evidence.rows:
        for name in READINGS:
            number = getattr(row, name)
            if number is not None and not abs(number) <= LARGEST_REWARD:
                raise NumericalError(
                    f"prompt {row.prompt}, {row.role.words} {row.variant + 1}: {name} is "
                    f"{number}; check the PM's weights and dtype for overflow"
                )
    by_prompt = {
        "a matched random set's gap": [null.gap for null in evidence.null],
        "a placebo's gap": [one.gap + one.gap_after for one in evidence.placebos],
        "a reward after replacement": [
            one.selected + one.features + one.stream for one in evidence.replaced
        ],
    }
    for what, rows in by_prompt.items():
        if not all(abs(number) <= LARGEST_REWARD for numbers in rows for number in numbers):
            raise NumericalError(f"{what} is not finite; check the PM's dtype")
    for fit in evidence.fits:
        if not all(math.isfinite(number) for number in (fit.fvu, *fit.neighbour_fvu)):
            raise NumericalError(f"SAE {fit.sae}: FVU is not finite; check the SAE's weights")
    if not SMALLEST_SIGMA <= evidence.sigma <= LARGEST_REWARD:
        raise NumericalError(
            f"sigma is {evidence.sigma}; the PM gives all reference completions one reward, so "
            "no gap can be scaled: check its head"
        )
    if not 0 <= evidence.noise <= LARGEST_REWARD:
        raise NumericalError(f"the noise floor is {evidence.noise}; measure it again")


def _check_shape(evidence: Evidence) -> None:
    count = len(evidence.prompts)
    if count == 0:
        raise RecordError("the evidence holds no prompt; check the hypothesis's probe")
    for row in evidence.rows:
        if not 0 <= row.prompt < count:
            raise RecordError(f"a row names prompt {row.prompt} of {count}; {_TORN}")
    present = {(row.prompt, row.role) for row in evidence.rows}
    for prompt, role in product(range(count), (Role.EXAMPLE, Role.COUNTER_EXAMPLE)):
        if (prompt, role) not in present:
            raise RecordError(f"prompt {prompt} has no {role.words} row; a gap needs both: {_TORN}")
    for what, unit, wanted, found in _lengths(evidence):
        if found != wanted:
            raise RecordError(f"{what} has {found} {unit}s for {wanted} {unit}s; {_TORN}")
    held_out = sorted(prompt for fold in evidence.folds for prompt in fold.held_out)
    if evidence.folds and held_out != list(range(count)):
        raise RecordError(
            "each prompt must be held out by exactly one fold, or selection and test would share "
            f"prompts; the folds hold out {held_out} of {count}"
        )


def _lengths(evidence: Evidence) -> Iterator[tuple[str, str, int, int]]:
    """Yield what holds a number a prompt or a row, with how many it should and does hold."""
    prompts, rows = len(evidence.prompts), len(evidence.rows)
    for null in evidence.null:
        yield "a matched random set", "prompt", prompts, len(null.gap)
    for placebo in evidence.placebos:
        for gaps in (placebo.gap, placebo.gap_after):
            yield "a placebo", "prompt", prompts, len(gaps)
    for one in evidence.replaced:
        for rewards in (one.selected, one.features, one.stream):
            yield f"the replacement of {one.sae or 'all SAEs'}", "row", rows, len(rewards)
