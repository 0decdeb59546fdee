"""Records that are of no audit: which kind a file holds, its summary and its pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pm_audit.errors import RecordError
from pm_audit.records import write_atomically
from pm_audit.records.diff import DiffRecord
from pm_audit.records.document import read_document
from pm_audit.records.exploit import ExploitRecord
from pm_audit.records.repair import RepairRecord
from pm_audit.records.saved import SavedRecord
from pm_audit.records.scan import ScanRecord
from pm_audit.report.html import diff as diff_page
from pm_audit.report.html import exploit as exploit_page
from pm_audit.report.html import repair as repair_page
from pm_audit.report.html import scan as scan_page
from pm_audit.report.preferences import diff, exploit, repair, scan

Render = Callable[[Any], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of record."""

    name: str
    """In sentences: ``a scan``."""
    keys: frozenset[str]
    """Of its document, by which it is told from every other, of whatever version."""
    record: type[SavedRecord]
    summary: Render
    """For a terminal."""
    pages: Mapping[str, Render]
    """By suffix."""

    def read(self, path: Path) -> SavedRecord:
        """Read a record back.

        Raises:
            RecordError: torn, or of another version.

        """
        found: SavedRecord = self.record.read(path)  # type: ignore[attr-defined]
        return found


KINDS = (
    Kind(
        name="a scan",
        keys=frozenset({"groups", "sample", "overall"}),
        record=ScanRecord,
        summary=scan.summary,
        pages={".html": scan_page.render},
    ),
    Kind(
        name="a diff",
        keys=frozenset({"groups", "sample", "old_sigma"}),
        record=DiffRecord,
        summary=diff.summary,
        pages={".html": diff_page.render},
    ),
    Kind(
        name="a repair",
        keys=frozenset({"candidates", "judged", "judged_on"}),
        record=RepairRecord,
        summary=repair.terminal,
        pages={".html": repair_page.render, ".md": repair.markdown},
    ),
    Kind(
        name="a search for exploits",
        keys=frozenset({"exploits", "chance", "held_out"}),
        record=ExploitRecord,
        summary=exploit.terminal,
        pages={".html": exploit_page.render, ".md": exploit.markdown},
    ),
)


def read(path: Path) -> SavedRecord | None:
    """Return the record that a file holds; None if it is of none of these kinds.

    Raises:
        RecordError: it cannot be read as a record at all, or is torn, or of another version.

    """
    data = read_document(path)
    held = data.keys() if isinstance(data, dict) else frozenset()
    found = next((kind for kind in KINDS if kind.keys <= held), None)
    return None if found is None else found.read(path)


def summary(record: SavedRecord) -> str:
    """Return what a terminal shows of a record."""
    return _kind(type(record)).summary(record)


def save(record: SavedRecord, path: Path) -> None:
    """Write the page that the suffix names, or with ``.json`` the record.

    Raises:
        RecordError: no page has this suffix, or the file cannot be written.

    """
    kind = _kind(type(record))
    if path.suffix == ".json":
        record.write(path)
    elif path.suffix in kind.pages:
        write_atomically(path, kind.pages[path.suffix](record))
    else:
        known = ", ".join(suffixes(type(record)))
        raise RecordError(f"{path}: {kind.name} is written as {known}; choose one of these")


def suffixes(record: type[SavedRecord]) -> tuple[str, ...]:
    """Return what a record of a class can be written as."""
    return (".json", *_kind(record).pages)


def _kind(record: type[SavedRecord]) -> Kind:
    return next(kind for kind in KINDS if issubclass(record, kind.record))
