"""Objects that other installed packages add by entry points."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TypeVar

from pm_audit.errors import AuditError

Kind = TypeVar("Kind")


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
