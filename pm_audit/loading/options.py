"""Options of a configuration file, each read by its type.

Each version of a library writes other options.  An option that changes the numbers and that nothing
reads would silently make another model of the same weights.  So a loader lists the options that it
applies and the harmless ones, and refuses any other that is on.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pm_audit.errors import AuditError

_OFF: tuple[object, ...] = (None, False, 0, "", "none", "None", [], {})
_LONGEST = 400
"""Characters of the longest name that is believed."""


def is_on(value: object) -> bool:
    """Whether an option is switched on."""
    return value not in _OFF


@dataclass(frozen=True)
class Options:
    """The options of one file, or of one section of it."""

    held: Mapping[str, Any]
    source: str
    """The model, as the user named it."""
    file: str
    error: type[AuditError]
    """Raised by every method for an option of another type."""

    def wrong(self, key: str, expected: str) -> AuditError:
        """Return the error for an option of another value than ``expected``."""
        value = self.held.get(key)
        shown = repr(value[:40]) if isinstance(value, str) else str(value)[:40]
        said = f"lacks {key}" if value is None else f"says {key} is {shown}"
        return self.error(
            f"{self.source}: {self.file} {said}, expected {expected}; fetch the original file"
        )

    def whole(self, key: str, *, most: int = 2**40) -> int:
        """Return a whole number from 1 to ``most``."""
        value = self.held.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= most:
            limit = "a whole number above 0" if most == 2**40 else f"1 to {most}"
            raise self.wrong(key, limit)
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        """Return true or false, or the default for an absent option."""
        value = self.held.get(key)
        if value is not None and not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return default if value is None else value

    def text(self, key: str) -> str | None:
        """Return a name, or None for an absent option."""
        value = self.held.get(key)
        if value is not None and (not isinstance(value, str) or len(value) > _LONGEST):
            raise self.wrong(key, "a name")
        return value

    def number(self, key: str, default: float, *, positive: bool = False) -> float:
        """Return a finite number, or the default for an absent option."""
        value = self.held.get(key)
        value = default if value is None else value
        if not is_finite(value) or (positive and value <= 0):
            raise self.wrong(key, "a positive number" if positive else "a number")
        return value

    def section(self, key: str) -> Options:
        """Return the options under a key, none for an absent one."""
        value = self.held.get(key) or {}
        if not isinstance(value, Mapping):
            raise self.wrong(key, "options by name")
        return Options(value, self.source, f"{key} of {self.file}", self.error)

    def refuse_unknown(self, known: Collection[str], *, changes: str) -> None:
        """Refuse options that are on and not ``known``: they might change the ``changes``."""
        unknown = [
            str(key) for key, value in self.held.items() if key not in known and is_on(value)
        ]
        if unknown:
            raise self.error(
                f"{self.source}: {self.file} sets {', '.join(sorted(unknown))[:200]}, which this "
                f"loader does not know and which might change the {changes}; remove it if it does "
                "not, or fold it into the weights with the library that wrote it"
            )


def is_finite(value: object) -> bool:
    """Whether a value is a number of finite size, and no truth value."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number larger than any float
        return False
