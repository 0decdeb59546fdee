"""The folder to host: what is written, what is never replaced, what is left."""

from __future__ import annotations

from pathlib import Path

import pytest

from pm_audit.errors import RecordError
from pm_audit.records import AuditRecord
from pm_audit.release.history import read_history
from pm_audit.report.over_time.site import write_site


@pytest.fixture(scope="session")
def record_paths(judged_record_path, tmp_path_factory) -> list[Path]:
    """Return three records that can be believed, one with notes."""
    record = AuditRecord.read(judged_record_path)
    folder = tmp_path_factory.mktemp("releases")
    paths = []
    for month in (1, 2, 3):
        path = folder / f"v{month}.json"
        dated = record.model_copy(update={"created": f"2026-0{month}-01T00:00:00+00:00"})
        dated.sealed().write(path)
        paths.append(path)
    (folder / "v2.notes.yaml").write_text(
        "- {hypothesis: urls, note: 'see <b>PM-12</b>', author: Ada, day: 2026-02-03}\n"
    )
    return paths


def test_a_page_a_record_and_the_index_last(record_paths, tmp_path):
    history = read_history(record_paths)
    lines = list(write_site(history, tmp_path / "site"))
    pages = [f"releases/{release.page}" for release in history.releases]
    written = [line.removeprefix(f"wrote {tmp_path / 'site'}/") for line in lines]
    assert written == [*pages, "index.html"]
    second = (tmp_path / "site" / pages[1]).read_text(encoding="utf-8")
    assert 'href="../index.html"' in second
    assert "see &#60;b&#62;PM-12" in second
    assert "Note of Ada, 2026-02-03" in second
    index = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert "Note of Ada, 2026-02-03" in index


def test_again_it_replaces_its_own_and_names_what_is_of_no_record(record_paths, tmp_path):
    list(write_site(read_history(record_paths), tmp_path))
    lines = list(write_site(read_history(record_paths[1:]), tmp_path))
    (left,) = (line for line in lines if line.startswith("kept"))
    assert "2026-01-01-" in left
    assert len(list((tmp_path / "releases").glob("*.html"))) == 3


@pytest.mark.parametrize("name", ["index.html", "releases/{page}"])
def test_a_page_of_somebody_else_is_refused_before_anything_is_written(
    record_paths, tmp_path, name
):
    history = read_history(record_paths)
    foreign = tmp_path / name.format(page=history.releases[2].page)
    foreign.parent.mkdir(exist_ok=True)
    foreign.write_text("<h1>mine</h1>")
    with pytest.raises(RecordError, match="was not written by a run and would be replaced"):
        list(write_site(history, tmp_path))
    assert foreign.read_text() == "<h1>mine</h1>"
    assert [path for path in tmp_path.rglob("*.html") if path != foreign] == []


def test_a_file_is_no_folder(record_paths, tmp_path):
    (tmp_path / "site").write_text("x")
    with pytest.raises(RecordError, match="is no folder"):
        list(write_site(read_history(record_paths), tmp_path / "site"))


def test_a_record_that_changed_meanwhile_is_no_page(record_paths, tmp_path):
    copies = [tmp_path / path.name for path in record_paths[:2]]
    for path, copy in zip(record_paths, copies, strict=False):
        copy.write_bytes(path.read_bytes())
    history = read_history(copies)
    copies[0].write_bytes(record_paths[2].read_bytes())
    with pytest.raises(RecordError, match="was replaced while it was exported"):
        list(write_site(history, tmp_path / "site"))
    assert not (tmp_path / "site" / "index.html").exists()
