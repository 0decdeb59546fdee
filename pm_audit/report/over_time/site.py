"""A folder that any web server can hold: the history, and a page for each release.

Addresses are relative, so that it works from a disk as well.  A release's page is named by its day
and its digest: no later export gives another record its address.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pm_audit.errors import RecordError
from pm_audit.records import require_ours, write_atomically
from pm_audit.report import html
from pm_audit.report.html import history as history_page
from pm_audit.report.over_time.history import History
from pm_audit.report.over_time.notes import read_notes
from pm_audit.report.viewed import read_viewed

INDEX = "index.html"
PAGES = "releases"
"""Folder of the releases' own pages."""


def write_site(history: History, folder: Path) -> Iterator[str]:
    """Write the folder and yield a line for each page; the index comes last.

    A page of an earlier export whose record is not among the releases is named and kept.

    Raises:
        RecordError: a page cannot be written, or would replace a file that is not ours.

    """
    targets = {one.digest: folder / PAGES / one.page for one in history.releases}
    for path in (folder / INDEX, *targets.values()):
        if folder.exists() and not folder.is_dir():
            raise RecordError(f"{folder}: is no folder; name another")
        require_ours(path, path)
    for release in history.releases:
        record, notices = read_viewed(Path(release.file))
        if record.computed_digest() != release.digest:
            raise RecordError(f"{release.file}: was replaced while it was exported; export again")
        files = (release.file, *release.copies)
        notes = tuple(dict.fromkeys(n for file in files for n in read_notes(Path(file), record)))
        page = html.render(record, notices, notes, home=f"../{INDEX}")
        write_atomically(targets[release.digest], page)
        yield f"wrote {targets[release.digest]}"
    pages = {digest: f"{PAGES}/{path.name}" for digest, path in targets.items()}
    write_atomically(folder / INDEX, history_page.render(history, pages))
    yield f"wrote {folder / INDEX}"
    left = sorted(set((folder / PAGES).glob("*.html")) - set(targets.values()))
    yield from (f"kept {path}: it is of none of these records; remove it by hand" for path in left)
