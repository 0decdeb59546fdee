"""Writing reports: the suffix of the file chooses the format.

Another package adds a format by an entry point of the group ``pm_audit.reports`` that names a
``ReportFormat``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from pm_audit.errors import RecordError
from pm_audit.extensions import extensions, guarded
from pm_audit.records import AuditRecord, write_atomically
from pm_audit.report import changes, html, markdown
from pm_audit.report.formats import ReportFormat, csv, parquet
from pm_audit.report.over_time.notes import Note

GROUP = "pm_audit.reports"

JSON = ReportFormat(".json", lambda record, _: record.document())
BUILT_IN = (JSON, html.FORMAT, markdown.FORMAT, csv.FORMAT, parquet.FORMAT)

COMPARISONS: Mapping[str, Callable[[changes.Comparison], str]] = {
    ".html": html.render_comparison,
    ".md": changes.markdown_page,
}

Found = TypeVar("Found")


def formats() -> dict[str, ReportFormat]:
    """Return the report formats by suffix: the built-in ones and those of installed packages.

    Raises:
        RecordError: an entry point names something else, or two formats share a suffix.

    """
    known: dict[str, ReportFormat] = {}
    for one in (*extensions(GROUP, ReportFormat, error=RecordError), *BUILT_IN):
        if one.suffix in known:
            raise RecordError(
                f"two reports of {GROUP} have the suffix {one.suffix!r}; remove one of the "
                "packages that offer them"
            )
        known[one.suffix] = one
    return known


def write(
    record: AuditRecord,
    path: Path,
    *,
    notices: Sequence[str] = (),
    notes: Sequence[Note] = (),
) -> None:
    """Write the report that the suffix names, all of it or nothing.

    Pages show ``notices`` first and a reviewer's ``notes`` next to what they are about.

    Raises:
        RecordError: no report has this suffix, its library is missing, or the record is torn.

    """
    chosen = _by_suffix(formats(), path)

    def rendered() -> str | bytes:
        if notes and chosen.annotated is not None:
            return chosen.annotated(record, notices, notes)
        return chosen.render(record, notices)

    if chosen in BUILT_IN:
        content = rendered()
    else:
        with guarded(f"report {chosen.suffix!r} of {GROUP}", error=RecordError):
            content = _content(rendered())
    write_atomically(path, content)


def _content(given: object) -> str | bytes:
    if not isinstance(given, str | bytes):
        raise TypeError(f"its content is a {type(given).__name__}, expected str or bytes")
    return given


def write_comparison(comparison: changes.Comparison, path: Path) -> None:
    """Write a comparison as its suffix says: ``.html`` or ``.md``.

    Raises:
        RecordError: another suffix.

    """
    write_atomically(path, _by_suffix(COMPARISONS, path)(comparison))


def _by_suffix(known: Mapping[str, Found], path: Path) -> Found:
    if path.suffix not in known:
        *others, last = known
        raise RecordError(f"{path}: its name must end in {', '.join(others)} or {last}")
    return known[path.suffix]
