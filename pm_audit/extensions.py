"""Objects that other installed packages add by entry points."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
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


_SHOWN = 300
"""Characters of another package's message that ours shows."""


@contextlib.contextmanager
def guarded(what: str, *, error: type[AuditError]) -> Iterator[None]:
    """Raise whatever code of another package raises as ``error``, on one line."""
    try:
        yield
    except AuditError:
        raise
    except (Exception, SystemExit) as problem:
        said = " ".join(f"{type(problem).__name__}: {problem}".split())[:_SHOWN]
        raise error(
            f"{what} failed ({said}); fix or remove the package that offers it"
        ) from problem


def guarded_if_added(
    entry: Named, own: Iterable[Named], group: str, *, error: type[AuditError]
) -> contextlib.AbstractContextManager[None]:
    """Return ``guarded`` for the entry of another package, and nothing for one of ``own``."""
    if any(entry is one for one in own):
        return contextlib.nullcontext()
    return guarded(f"{entry.name!r} of {group}", error=error)


def extensions(group: str, kind: type[Kind], *, error: type[AuditError]) -> tuple[Kind, ...]:
    """Return every object that entry points of ``group`` name; in their order.

    Raises:
        AuditError: of class ``error``, if one cannot be imported, or is of another kind.

    """
    added = []
    for point in entry_points(group=group):
        with guarded(f"entry point {point.name!r} of {group}, {point.value},", error=error):
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
        if (
            not isinstance(entry.name, str)
            or not entry.name.strip()
            or not entry.name.isprintable()
        ):
            raise AuditError(
                f"an entry of {group} is named {entry.name!r}, which is no printable text; fix or "
                "remove the package that offers it"
            )
        if entry.name in entries:
            raise AuditError(
                f"two entries of {group} are named {entry.name!r}; remove one of the packages "
                "that offer them"
            )
        entries[entry.name] = entry
    return entries
