"""Names of checks: the built-in ones, and those that installed packages add.

A package adds a check by an entry point of the group ``pm_audit.checks``; its name is the check's.
``judging/checks`` holds what each name stands for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from functools import cache
from importlib.metadata import entry_points
from typing import Self

from pm_audit.errors import RecordError

CHECK_GROUP = "pm_audit.checks"
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
"""A name that is safe in node ids and in every report."""


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
    """Return the names of the checks that installed packages add.

    Raises:
        RecordError: one cannot be a name, or is that of another check.

    """
    names: set[str] = set()
    for point in entry_points(group=CHECK_GROUP):
        place = f"entry point {point.name[:80]!r} of {CHECK_GROUP}"
        remedy = f"fix or remove the package that offers {point.value}"
        if not _NAME.fullmatch(point.name):
            raise RecordError(
                f"{place}: a check's name is a lower-case letter and up to 39 more, digits, - or "
                f"_; {remedy}"
            )
        if point.name in names | set(Check):
            raise RecordError(f"{place}: another check has this name; {remedy}")
        names.add(point.name)
    return tuple(sorted(names))
