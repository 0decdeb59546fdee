"""The AuditError family: broken input is an exception, a refuted claim is a result.

Every message says what is wrong, where, and the remedy.  Doors (the command line and the
pytest plugin) print an ``AuditError`` as one clear message; anything else is a bug and keeps
its traceback.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


class AuditError(Exception):
    """Base of every error that a user can cause and fix."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where in a user's file a problem stands; ``line`` and ``column`` count from 1."""

    file: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        """Return ``file:line:column``, leaving out what is not known."""
        return ":".join(str(part) for part in (self.file, self.line, self.column) if part)


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault in one place, with its remedy inside the message."""

    place: Place
    message: str

    def __str__(self) -> str:
        """Return ``file:line:column: message``."""
        return f"{self.place}: {self.message}"


class InvalidSpec(AuditError):
    """A hypothesis, probe or configuration file cannot be read as written.

    Holds every problem found, not only the first.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class ModelError(AuditError):
    """A preference model cannot be loaded or fails its preflight."""


class TooLongError(ModelError):
    """A text has more tokens than the PM reads."""


class SaeError(AuditError):
    """A sparse autoencoder cannot be loaded, or does not belong to this model."""


class RecordError(AuditError):
    """An audit record or a baseline is missing, stale, torn or of another schema."""


class DownloadError(AuditError):
    """The default PM's base cannot be fetched, or its hash is not the pinned one."""


class NumericalError(AuditError):
    """A number that must be finite is not; no verdict can rest on it."""


class AuditFailure(AssertionError):
    """A check was judged and its claim was refuted (or, by policy, left inconclusive).

    The one exception that ``known_bias`` may excuse; never raised for broken input.
    """
