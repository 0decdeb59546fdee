"""Records with a file and a page of their own: of a scan, a diff, a repair, a search."""

from __future__ import annotations

from pathlib import Path

from pm_audit.records.atomic import write_atomically
from pm_audit.records.base import Record
from pm_audit.records.document import json_document


class SavedRecord(Record):
    """Base of what a command writes besides an audit's record."""

    def __str__(self) -> str:
        """Return the summary that the command prints."""
        from pm_audit.report.preferences.kinds import summary

        return summary(self)

    def document(self) -> str:
        """Return the record as ASCII JSON."""
        return json_document(self.model_dump(mode="json")) + "\n"

    def write(self, path: Path) -> None:
        """Write the record; a killed run leaves the old file or the new one.

        Raises:
            RecordError: it cannot be written there.

        """
        write_atomically(path, self.document())

    def save(self, path: Path | str) -> None:
        """Write the page that the suffix names, or with ``.json`` the record.

        Raises:
            RecordError: no page has this suffix, or the file cannot be written.

        """
        from pm_audit.report.preferences.kinds import save

        save(self, Path(path))
