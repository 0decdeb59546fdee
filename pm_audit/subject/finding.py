"""A finding about a PM or an SAE, as the preflight and the doctor return it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from pm_audit.errors import AuditError

LOADS = "loads"
"""The check whether something can be loaded at all."""
CONVENTIONS = "conventions"
"""The check that says which conventions the loader took."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer to one question about a PM or an SAE."""

    check: str
    passed: bool
    detail: str
    """What was measured."""
    remedy: str = ""
    """What to do if it failed."""

    @classmethod
    def of(cls, check: str, passed: bool, detail: str, remedy: str) -> Self:  # noqa: FBT001
        """Return a finding that keeps its remedy only if it failed."""
        return cls(check, passed, detail, "" if passed else remedy)

    @classmethod
    def of_error(cls, error: AuditError) -> Self:
        """Return the finding about something that cannot be loaded."""
        return cls(LOADS, passed=False, detail="see below", remedy=str(error))
