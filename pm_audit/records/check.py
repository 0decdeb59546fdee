"""Names of checks: the built-in ones, and those that installed packages add.

A package adds a check by an entry point of the group ``pm_audit.checks``; its name is the check's.
``judging/checks`` holds what each name stands for.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from functools import cache
from importlib.metadata import entry_points
from typing import Self

CHECK_GROUP = "pm_audit.checks"


class Check(StrEnum):
    """What is judged about each hypothesis, in the order of the reports."""

    GAP = "gap"
    EXPLAINED = "explained"
    SPECIFIC = "specific"
    FIT = "fit"

    @classmethod
    def known(cls) -> tuple[Self, ...]:
        """Return every check of this installation: the built-in ones, then the added ones."""
        return (*cls, *cls._added())

    @classmethod
    def _added(cls) -> Iterator[Self]:
        return (cls._named(name) for name in added_names() if name not in tuple(cls))

    @classmethod
    @cache  # one object a name, as enum members are compared by identity
    def _named(cls, name: str) -> Self:
        added = str.__new__(cls, name)
        added._name_ = name.upper()
        added._value_ = name
        return added

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        return next((check for check in cls._added() if check == value), None)


@cache  # reading every installed package's entry points takes milliseconds
def added_names() -> tuple[str, ...]:
    """Return the names of the checks that installed packages add."""
    return tuple(sorted({point.name for point in entry_points(group=CHECK_GROUP)}))
