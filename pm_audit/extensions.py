"""Objects that other installed packages add by entry points."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import entry_points
from typing import Protocol, TypeVar

from pm_audit.errors import AuditError

Kind = TypeVar("Kind")


class Named(Protocol):
    """An entry of a registry."""

    @property
    def name(self) -> str:
        """What users and records call it."""


Entry = TypeVar("Entry", bound=Named)


def extensions(group: str, kind: type[Kind], *, error: type[AuditError]) -> tuple[Kind, ...]:
    """Return every object that entry points of ``group`` name; one of another kind is an error."""
    added = []
    for point in entry_points(group=group):
        found = point.load()
        if not isinstance(found, kind):
            raise error(
                f"entry point {point.name!r} of {group} is a {type(found).__name__}, expected "
                f"{kind.__name__}; fix or remove the package that offers {point.value}"
            )
        added.append(found)
    return tuple(added)


def registry(own: Iterable[Entry], group: str, kind: type[Entry]) -> dict[str, Entry]:
    """Return pm_audit's own entries and those of other packages, by name.

    Raises:
        AuditError: two share a name, or an entry point names something else.

    """
    entries: dict[str, Entry] = {}
    for entry in (*own, *extensions(group, kind, error=AuditError)):
        if entry.name in entries:
            raise AuditError(
                f"two entries of {group} are named {entry.name!r}; remove one of the packages "
                "that offer them"
            )
        entries[entry.name] = entry
    return entries
