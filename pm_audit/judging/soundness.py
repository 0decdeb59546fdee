"""Which evidence figures can be computed from: whole, finite, and at one with itself."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import product
from statistics import fmean

from pm_audit.errors import NumericalError, RecordError
from pm_audit.records import Evidence, Feature, Role

READINGS = ("reward", "ablated", "single_sum")

STAGES = ("selected", "others", "features", "stream", "error")
"""Fields of ``StageEvidence`` that hold rewards."""

LARGEST_REWARD = 3.4028235e38
"""Largest number of float32, in which rewards are read; cubes of it still fit into float64."""

SMALLEST_SIGMA = 1.1754944e-38
"""Smallest normal number of float32: no spread of rewards is smaller."""

ROUNDING = 1e-6
"""Relative difference that float32 makes of a gap that is computed twice from equal rewards."""

_TORN = "the record is torn, audit again"


def require_sound(evidence: Evidence) -> None:
    """Refuse evidence from which no figure could be computed.

    Raises:
        NumericalError: a number is not finite, or sigma is not positive.
        RecordError: a row, a fold or a random set is missing, a prompt is in two folds, or a gap
            is not what the rewards give.

    """
    _check_scale(evidence)
    _check_rows(evidence)
    _check_series(evidence)
    _check_names(evidence)
    _check_folds(evidence)
    _check_transfer(evidence)


def _check_scale(evidence: Evidence) -> None:
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


def _check_rows(evidence: Evidence) -> None:
    count = len(evidence.prompts)
    if count == 0:
        raise RecordError("the evidence holds no prompt; check the hypothesis's probe")
    for row in evidence.rows:
        for name in READINGS:
            number = getattr(row, name)
            if number is not None and not abs(number) <= LARGEST_REWARD:
                raise NumericalError(
                    f"prompt {row.prompt}, {row.role.words} {row.variant + 1}: {name} is "
                    f"{number}; check the PM's weights and dtype for overflow"
                )
        if not 0 <= row.prompt < count:
            raise RecordError(f"a row names prompt {row.prompt} of {count}; {_TORN}")
    for one in evidence.further:
        if not abs(one.gap) <= LARGEST_REWARD:
            raise NumericalError(
                f"prompt {one.id[:80]!a}: its gap is {one.gap}; check the PM's weights and dtype "
                "for overflow"
            )
    present = {(row.prompt, row.role) for row in evidence.rows}
    for prompt, role in product(range(count), (Role.EXAMPLE, Role.COUNTER_EXAMPLE)):
        if (prompt, role) not in present:
            raise RecordError(f"prompt {prompt} has no {role.words} row; a gap needs both: {_TORN}")


def _check_series(evidence: Evidence) -> None:
    for what, unit, wanted, numbers in _series(evidence):
        if len(numbers) != wanted:
            raise RecordError(f"{what} has {len(numbers)} {unit}s for {wanted} {unit}s; {_TORN}")
        if not all(abs(number) <= LARGEST_REWARD for number in numbers):
            raise NumericalError(f"{what} holds a number that is not finite; check the PM's dtype")


def _series(evidence: Evidence) -> Iterator[tuple[str, str, int, tuple[float, ...]]]:
    """Yield what holds a number a prompt or a row, how many it should hold, and the numbers."""
    prompts, rows = len(evidence.prompts), len(evidence.rows)
    for null in evidence.null:
        yield "a matched random set", "prompt", prompts, null.gap
    for placebo in evidence.placebos:
        for gaps in (placebo.gap, placebo.gap_after):
            yield "a placebo", "prompt", prompts, gaps
    for stage in evidence.stages:
        for name in STAGES:
            what = f"the stage {name!r} of {stage.sae or 'all SAEs'}"
            yield what, "row", rows, getattr(stage, name)
    for other in evidence.alongside:
        yield f"{other.replacement} replacement", "row", rows, other.rewards
    for one in evidence.transfer:
        for gaps in (one.gap, one.gap_after):
            yield f"the transfer to example {one.phrasing + 1}", "prompt", len(one.prompts), gaps
    for baseline in evidence.baselines:
        for rewards in baseline.rewards:
            yield f"baseline {baseline.name}", "row", rows, rewards


def _check_names(evidence: Evidence) -> None:
    stages = [stage.sae for stage in evidence.stages]
    if stages and (stages[0] is not None or _repeats(stages)):
        raise RecordError(f"the stages are not of all SAEs together, then of each once; {_TORN}")
    if _repeats(other.replacement for other in evidence.alongside):
        raise RecordError(f"a replacement is reported twice alongside; {_TORN}")


def _check_folds(evidence: Evidence) -> None:
    held_out = sorted(prompt for fold in evidence.folds for prompt in fold.held_out)
    if evidence.folds and held_out != list(range(len(evidence.prompts))):
        raise RecordError(
            "each prompt must be held out by exactly one fold, or selection and test would share "
            f"prompts; the folds hold out {held_out} of {len(evidence.prompts)}"
        )
    for fold in evidence.folds:
        if len(fold.growth) != len(fold.collateral):
            raise RecordError(f"a fold's closures and collaterals differ in number; {_TORN}")
    if len(evidence.halves) not in (0, 2):
        raise RecordError(f"there are {len(evidence.halves)} halves of the prompts; {_TORN}")
    sets: list[tuple[Feature, ...]] = [fold.selected for fold in evidence.folds]
    sets += [*evidence.halves, *(one.selected for one in evidence.transfer)]
    if any(map(_repeats, sets)):
        raise RecordError(f"a set holds a feature twice; {_TORN}")


def _check_transfer(evidence: Evidence) -> None:
    """Check that each phrasing is tested on a prompt once, with the gap that its rewards give."""
    if not evidence.transfer:
        return
    rewards: dict[tuple[int, int], list[float]] = defaultdict(list)
    for row in evidence.rows:
        if row.role is Role.EXAMPLE:
            rewards[row.variant, row.prompt].append(row.reward)
    others = evidence.means(Role.COUNTER_EXAMPLE, [row.reward for row in evidence.rows])
    slack = ROUNDING * (evidence.sigma + max(abs(row.reward) for row in evidence.rows))
    for one in evidence.transfer:
        for prompt, gap in zip(one.prompts, one.gap, strict=True):
            where = f"the transfer to example {one.phrasing + 1}, prompt {prompt}"
            own = rewards.pop((one.phrasing, prompt), None)
            if own is None:
                raise RecordError(f"{where}: there is no such row, or it is tested twice; {_TORN}")
            found = fmean(own) - others[prompt]
            if not abs(gap - found) <= slack:
                raise RecordError(f"{where}: the gap is {gap}, but the rewards give {found}")


def _repeats(names: Iterable[object]) -> bool:
    listed = [*map(str, names)]
    return len(set(listed)) < len(listed)
