"""What a report is: a suffix, and how a record becomes a file's content."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pm_audit.records import AuditRecord
from pm_audit.report.over_time.notes import Note

Render = Callable[[AuditRecord, Sequence[str]], str | bytes]
"""From a record and its notices to the content.

Notices stand first on a page: what a reader must know about the record as a whole (see
``viewed.notices``).  Tables hold none.
"""
Annotated = Callable[[AuditRecord, Sequence[str], Sequence[Note]], str | bytes]
"""The same, with a reviewer's notes next to what they are about."""


@dataclass(frozen=True, slots=True)
class ReportFormat:
    """One kind of report file."""

    suffix: str
    """End of the file's name that chooses it, with its dot: ``.html``."""
    render: Render
    annotated: Annotated | None = None
    """How it is rendered with notes; None for a format that has no place for them."""

    def __post_init__(self) -> None:
        known = isinstance(self.suffix, str) and self.suffix.startswith(".")
        if not known or Path(f"x{self.suffix}").suffix != self.suffix:
            raise ValueError(f"the suffix is {self.suffix!r}, expected a dot and a name: '.html'")
