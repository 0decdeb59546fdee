"""Rows to prompts: one value per prompt and quantity, the unit of all inference.

All rows of one prompt and role (phrasings of the completion, wordings of the question) are
averaged first, so that twenty wordings of one question count as one prompt and not as twenty.

Sign: a movement is reward after ablation minus reward before, so an example whose reward an
unwanted feature had lowered moves up.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pm_audit.errors import NumericalError, RecordError
from pm_audit.records import Evidence, Role, RowEvidence

Array = NDArray[np.float64]

READINGS = (
    "reward",
    "zero",
    "mean",
    "spliced",
    "features_replaced",
    "stream_replaced",
    "single_sum",
)

LARGEST_REWARD = 3.4028235e38
"""Largest number of float32, in which rewards are read; cubes of it still fit into float64."""

SMALLEST_SIGMA = 1.1754944e-38
"""Smallest normal number of float32: what is smaller is no spread of rewards."""

TIE_DECIMALS = 9
"""Decimals of sigma to which two prompts must agree to count as tied."""

ROLE_WORDS = {
    Role.EXAMPLE: "example",
    Role.COUNTER_EXAMPLE: "counter-example",
    Role.CONTROL: "control",
}


@dataclass(frozen=True, slots=True)
class OffTarget:
    """A completion template that the ablation should leave alone."""

    role: Role
    variant: int
    present: Array
    """1 where the prompt has this template, else 0: ``"prompt"``."""
    moved: Array
    """Mean movement under ablation, 0 where absent: ``"prompt"``, raw reward."""

    @property
    def words(self) -> str:
        """Return the name used in reasons, counted from 1 as a reader counts YAML lines."""
        return f"{ROLE_WORDS[self.role]} {self.variant + 1}"


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
    replaced: tuple[Array, Array, Array] | None
    """Gap with the selected features, then all features, then the whole stream of every completion
    at counter-example means; None where not run."""
    interaction: Array | None
    """Examples' joint effect minus the sum of single effects; None where not run."""

    @property
    def prompts(self) -> int:
        """Return the number of prompts."""
        return len(self.gap)


def tabulate(evidence: Evidence) -> PromptTable:
    """Reduce the rows of one hypothesis to prompts.

    Raises:
        NumericalError: a number of the evidence is not finite, or sigma is not positive.
        RecordError: a prompt lacks an example or a counter-example, was held out by no fold
            or by two, or a random set lacks a prompt.

    """
    require_sound(evidence)
    count = len(evidence.prompts)
    rows: dict[tuple[int, Role], list[RowEvidence]] = defaultdict(list)
    for row in evidence.rows:
        rows[row.prompt, row.role].append(row)

    def level(role: Role, reading: str) -> Array:
        return np.array(
            [_mean(getattr(row, reading) for row in rows[prompt, role]) for prompt in range(count)]
        )

    clean = level(Role.COUNTER_EXAMPLE, "reward")
    gap = level(Role.EXAMPLE, "reward") - clean
    gap_zero = level(Role.EXAMPLE, "zero") - level(Role.COUNTER_EXAMPLE, "zero")
    gap_mean = level(Role.EXAMPLE, "mean") - level(Role.COUNTER_EXAMPLE, "mean")
    gap_spliced = level(Role.EXAMPLE, "spliced") - level(Role.COUNTER_EXAMPLE, "spliced")
    examples_moved = level(Role.EXAMPLE, "zero") - level(Role.EXAMPLE, "reward")
    null_gap = np.array([null.gap for null in evidence.null], dtype=np.float64).reshape(-1, count)
    # The bootstrap draws prompts by position.  An order fixed by the values alone makes every
    # figure independent of the order in which prompts were written.
    # Rounded, lest the last bit of a float decide between prompts that tie.
    keys = np.stack([*null_gap, examples_moved, gap_spliced, gap_mean, gap_zero, gap])
    order = np.lexsort(np.round(keys / evidence.sigma, TIE_DECIMALS))
    weighed = [row for row in evidence.rows if row.role is not Role.CONTROL]
    replaced = None
    if _all_hold(weighed, "features_replaced", "stream_replaced"):
        features, stream = (
            level(Role.EXAMPLE, stage) - level(Role.COUNTER_EXAMPLE, stage)
            for stage in ("features_replaced", "stream_replaced")
        )
        replaced = (gap_mean[order], features[order], stream[order])
    examples = [row for row in weighed if row.role is Role.EXAMPLE]
    interaction = None
    if _all_hold(examples, "single_sum"):
        interaction = (-examples_moved - level(Role.EXAMPLE, "single_sum"))[order]
    return PromptTable(
        gap=gap[order],
        gap_zero=gap_zero[order],
        gap_mean=gap_mean[order],
        gap_spliced=gap_spliced[order],
        examples_moved=examples_moved[order],
        counter_examples_moved=(level(Role.COUNTER_EXAMPLE, "zero") - clean)[order],
        off_targets=tuple(
            OffTarget(one.role, one.variant, one.present[order], one.moved[order])
            for one in _off_targets(evidence)
        ),
        null_gap=null_gap[:, order],
        replaced=replaced,
        interaction=interaction,
    )


def _all_hold(rows: Iterable[RowEvidence], *readings: str) -> bool:
    return all(getattr(row, reading) is not None for row in rows for reading in readings)


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
            moved[prompt] = _mean(movements)
        yield OffTarget(role, variant, present, moved)


def _mean(values: Iterable[float]) -> float:
    """Return the mean, exactly rounded so that the order of rows cannot matter."""
    kept = list(values)
    return math.fsum(kept) / len(kept)


def require_sound(evidence: Evidence) -> None:
    """Refuse evidence from which no figure could be computed.

    Raises:
        NumericalError: a number is not finite, or sigma is not positive.
        RecordError: a row, a fold or a random set is missing.

    """
    _check_numbers(evidence)
    _check_shape(evidence)


def _check_numbers(evidence: Evidence) -> None:
    for row in evidence.rows:
        for name in READINGS:
            number = getattr(row, name)
            if number is not None and not abs(number) <= LARGEST_REWARD:
                raise NumericalError(
                    f"prompt {row.prompt}, {ROLE_WORDS[row.role]} {row.variant + 1}: {name} is "
                    f"{number}; check the PM's weights and dtype for overflow"
                )
    for null in evidence.null:
        if not all(abs(number) <= LARGEST_REWARD for number in null.gap):
            raise NumericalError("a matched random set's gap is not finite; check the PM's dtype")
    for fit in evidence.fits:
        if not all(math.isfinite(number) for number in (fit.fvu, *fit.neighbour_fvu)):
            raise NumericalError(f"SAE {fit.sae}: FVU is not finite; check the SAE's weights")
    for placebo in evidence.placebos:
        if not all(abs(number) <= LARGEST_REWARD for number in (*placebo.gap, *placebo.gap_after)):
            raise NumericalError("a placebo's gap is not finite; check the PM's dtype")
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
            raise RecordError(f"a row names prompt {row.prompt} of {count}; the record is torn")
    present = {(row.prompt, row.role) for row in evidence.rows}
    for prompt in range(count):
        for role in (Role.EXAMPLE, Role.COUNTER_EXAMPLE):
            if (prompt, role) not in present:
                raise RecordError(
                    f"prompt {prompt} has no {ROLE_WORDS[role]} row; a gap needs both: "
                    "the record is torn, audit again"
                )
    for null in evidence.null:
        if len(null.gap) != count:
            raise RecordError(
                f"a matched random set has {len(null.gap)} gaps for {count} prompts; "
                "the record is torn"
            )
    for placebo in evidence.placebos:
        if not len(placebo.gap) == len(placebo.gap_after) == count:
            raise RecordError(
                f"a placebo has {len(placebo.gap)} and {len(placebo.gap_after)} gaps for {count} "
                "prompts; the record is torn"
            )
    held_out = sorted(prompt for fold in evidence.folds for prompt in fold.held_out)
    if evidence.folds and held_out != list(range(count)):
        raise RecordError(
            "each prompt must be held out by exactly one fold, or selection and test would share "
            f"prompts; the folds hold out {held_out} of {count}"
        )
