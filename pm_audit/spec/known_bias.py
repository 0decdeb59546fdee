"""A failure that is accepted for now: why, by which ticket, and until when."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from pydantic import Field, field_validator

from pm_audit.records import Check
from pm_audit.spec.written import Day, Text, Written

LONGEST_BIAS = timedelta(days=366)
"""How long a failure can be accepted before somebody has to review it."""


def today() -> date:
    """Return the day in UTC, so that a bias expires everywhere at once."""
    return datetime.now(tz=UTC).date()


class KnownBias(Written):
    """A failure that is accepted for now; a named check that passes is an error."""

    reason: Text
    """Why the failure is accepted."""
    ticket: Text
    """Where its fix is tracked."""
    expires: Day
    """Last day on which it is accepted, as 2027-01-31; at most a year away."""
    checks: Annotated[tuple[Check, ...], Field(min_length=1)] = (Check.GAP,)
    """The checks whose failure is accepted: any of gap, explained, specific and fit."""

    @field_validator("checks")
    @classmethod
    def _once(cls, checks: tuple[Check, ...]) -> tuple[Check, ...]:
        if len(set(checks)) < len(checks):
            raise ValueError("a check is named twice; name each once")
        return checks

    def expired(self, today: date) -> bool:
        """Whether the failure is no longer accepted."""
        return today > self.expires

    def too_far(self, today: date) -> bool:
        """Whether it expires more than a year from now."""
        return self.expires - today > LONGEST_BIAS

    def covers(self, check: Check) -> bool:
        """Whether the failure of ``check`` is accepted, until the bias expires."""
        return check in self.checks
