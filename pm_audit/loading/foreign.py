"""Failures of other libraries, raised as errors that say what, where and the remedy."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from pm_audit.errors import AuditError

_SHOWN = 300
"""Characters of another library's message that ours shows."""


@contextlib.contextmanager
def explained(error: type[AuditError], what: str, remedy: str) -> Iterator[None]:
    """Raise every exception of a library as ``error``, on one line between ``what`` and ``remedy``.

    Torn files and hostile configurations make libraries raise errors of every class.
    """
    try:
        yield
    except AuditError:
        raise
    except Exception as problem:
        said = " ".join(str(problem).split())[:_SHOWN] or type(problem).__name__
        raise error(f"{what}: {said}; {remedy}") from problem
