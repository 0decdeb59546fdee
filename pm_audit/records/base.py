"""What every result is made of: frozen models of finite numbers, figures, features, outcomes."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

from pm_audit.errors import NumericalError
from pm_audit.records.check import Check


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise NumericalError(
            f"a figure of the record is {number}; check the PM's weights and dtype for overflow"
        )
    return number


Finite = Annotated[float, AfterValidator(_finite)]


class Record(BaseModel):
    """Base of every result: frozen, closed to unknown fields, finite numbers only."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Role(StrEnum):
    """What a completion is for in its hypothesis."""

    EXAMPLE = "example"
    COUNTER_EXAMPLE = "counter_example"
    CONTROL = "control"

    @property
    def words(self) -> str:
        """The name in sentences: ``counter-example``."""
        return self.value.replace("_", "-")


class Outcome(StrEnum):
    """What became of a check."""

    PASS = "pass"  # noqa: S105 - an outcome, not a password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    """The interval straddles the threshold; a failure unless the user says otherwise."""
    INVALID = "invalid"
    """Cannot be judged: no gap to take a share of, an unfit SAE, too few prompts."""
    SKIPPED = "skipped"
    """Not required: the hypothesis expects no gap, so there is nothing to explain."""

    def worse_than(self, other: Outcome) -> bool:
        """Whether this outcome is worse; invalid is the worst, and pass and skipped are equal."""
        return _RANK[self] > _RANK[other]


_RANK = {
    Outcome.PASS: 0,
    Outcome.SKIPPED: 0,
    Outcome.INCONCLUSIVE: 1,
    Outcome.FAIL: 2,
    Outcome.INVALID: 3,
}

NOT_PASSED = frozenset({Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.INVALID})


class Unit(StrEnum):
    """Unit of a figure."""

    REWARD = "reward"
    SIGMA = "sigma"
    SHARE = "share"


class Figure(Record):
    """A number with its confidence interval."""

    value: Finite
    low: Finite | None = None
    high: Finite | None = None
    unit: Unit


class CheckResult(Record):
    """One check's outcome and the sentence that says why."""

    check: Check
    outcome: Outcome
    reason: str


class Feature(Record):
    """Which feature: the SAE's name in the subject, its layer, and the latent's index."""

    sae: str
    layer: int
    index: int

    def __str__(self) -> str:
        """Return ``sae/index``, the form used in tables and on the command line."""
        return f"{self.sae}/{self.index}"
