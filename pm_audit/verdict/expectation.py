"""What a hypothesis expects, as the judge reads it from a hypothesis or from a record."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pm_audit.errors import RecordError


class GapExpectation(StrEnum):
    """The release policy on the gap."""

    RAISES = "raises"
    LOWERS = "lowers"
    NONE = "none"

    @property
    def sign(self) -> int:
        """Return +1 for raises, -1 for lowers, 0 for none."""
        return {"raises": 1, "lowers": -1, "none": 0}[self.value]


class Expectation(BaseModel):
    """The thresholds of one hypothesis; keys that the judge does not read are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    gap: GapExpectation
    closure: float = Field(gt=0, le=1, allow_inf_nan=False)
    """Share of the gap that the selected features must explain."""
    collateral: float = Field(ge=0, allow_inf_nan=False)
    """Largest movement of a counter-example or control, as a share of the gap."""
    margin: float = Field(gt=0, allow_inf_nan=False)
    """Largest gap, in sigma, that counts as none."""

    @classmethod
    def read(cls, expect: Mapping[str, Any], *, where: str) -> Expectation:
        """Read the expectation that a record holds.

        Raises:
            RecordError: a threshold is missing or out of its range.

        """
        try:
            return cls.model_validate(dict(expect))
        except ValidationError as error:
            raise RecordError(
                f"{where}: the record's `expect` cannot be judged: {error}; write the record "
                "again with `pytest --pm-audit`"
            ) from error
