"""Writing reports: the suffix of the file chooses the view."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pm_audit.errors import RecordError
from pm_audit.records import AuditRecord, write_atomically
from pm_audit.report import changes, html, markdown, sanitise, tables


def write_record(record: AuditRecord, path: Path) -> None:
    """Write a record as ASCII JSON, so that printing it is safe too."""
    write_atomically(path, sanitise.json_document(record.model_dump(mode="json")) + "\n")


def write(record: AuditRecord, path: Path, *, notices: Sequence[str] = ()) -> None:
    """Write a record as its suffix says: ``.html``, ``.md``, ``.csv`` or ``.parquet``.

    ``notices`` stand first on a page: what a reader must know about the record as a whole (see
    ``viewed.notices``).  Tables hold none.

    Raises:
        RecordError: another suffix, or no Parquet engine.

    """
    match path.suffix:
        case ".html":
            write_atomically(path, html.render(record, notices=notices))
        case ".md":
            write_atomically(path, markdown.render(record, notices=notices))
        case ".csv":
            tables.write_csv(tables.frame(record), path)
        case ".parquet":
            tables.write_parquet(tables.frame(record), path)
        case _:
            raise RecordError(f"{path}: its name must end in .html, .md, .csv or .parquet")


def write_comparison(comparison: changes.Comparison, path: Path) -> None:
    """Write a comparison as its suffix says: ``.html`` or ``.md``.

    Raises:
        RecordError: another suffix.

    """
    match path.suffix:
        case ".html":
            write_atomically(path, html.render_comparison(comparison))
        case ".md":
            write_atomically(path, changes.markdown_page(comparison))
        case _:
            raise RecordError(f"{path}: its name must end in .html or .md")
