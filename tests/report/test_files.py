"""A record saves itself as any report, and another package adds one by an entry point."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from pm_audit.errors import RecordError
from pm_audit.records import AuditRecord
from pm_audit.report import files
from pm_audit.report.formats import ReportFormat

TOY = ReportFormat(".txt", lambda record, notices: "\n".join([*notices, record.subject.pm]))


@pytest.mark.parametrize("suffix", [".json", ".html", ".md", ".csv", ".parquet"])
def test_a_record_saves_itself_as_its_suffix_says(record, tmp_path, suffix):
    path = tmp_path / f"record{suffix}"
    record.save(str(path))
    assert path.stat().st_size > 1000
    assert list(files.formats()) == [".json", ".html", ".md", ".csv", ".parquet"]


def test_a_saved_record_reads_back(record, tmp_path):
    record.save(tmp_path / "record.json")
    assert AuditRecord.read(tmp_path / "record.json") == record
    assert (tmp_path / "record.json").read_text(encoding="utf-8").isascii()


def test_another_package_adds_a_report(record, tmp_path, monkeypatch):
    point = EntryPoint("txt", "somewhere:TOY", files.GROUP)
    monkeypatch.setattr(EntryPoint, "load", lambda _: TOY)
    monkeypatch.setattr(
        "pm_audit.extensions.entry_points", lambda group: [point] if group == files.GROUP else []
    )
    files.write(record, tmp_path / "record.txt", notices=["NOTE"])
    assert (tmp_path / "record.txt").read_text(encoding="utf-8") == "NOTE\ndefault"
    monkeypatch.setattr(EntryPoint, "load", lambda _: "no format")
    with pytest.raises(RecordError, match="is a str, expected ReportFormat"):
        record.save(tmp_path / "record.txt")


def test_a_notebook_shows_a_table_of_safe_text(record, with_texts):
    table = record._repr_html_()
    for text in ("urls", "-1.90 sigma [-2.01, -1.78]", "32% [24%, 39%]", "fail", "://"):
        assert text in table.replace("&#58;", ":")
    assert table.count("<tr>") == 1 + len(record.hypotheses)
    hostile = with_texts(["<script>alert(1)</script>", '" onload="x', "\x1b[31m"])._repr_html_()
    assert "<script" not in hostile
    assert '" onload' not in hostile
    assert "\x1b" not in hostile


def test_a_record_gives_a_frame(record):
    assert list(record.frame("features")["index"][:2]) == [812, 1790]
    assert "prompt_text" in record.frame("completions").columns
    frame = record.frame().set_index("hypothesis")
    urls = next(one for one in record.hypotheses if one.name == "urls")
    assert frame.loc["urls", "gap"] == urls.gap.value
    assert frame.loc["urls", "gap_in_error_term"] == urls.decompositions[0].error_term.value


@pytest.mark.parametrize(
    ("render", "message"),
    [(lambda *_: None, "is a NoneType, expected str"), (lambda *_: 1 / 0, "ZeroDivisionError")],
)
def test_a_report_that_fails_is_one_error_and_no_file(
    record, tmp_path, monkeypatch, render, message
):
    monkeypatch.setattr(files, "extensions", lambda *_, **__: (ReportFormat(".txt", render),))
    with pytest.raises(RecordError, match=message):
        record.save(tmp_path / "record.txt")
    assert list(tmp_path.iterdir()) == []


def test_a_report_takes_no_suffix_of_another(record, tmp_path, monkeypatch):
    again = ReportFormat(".json", lambda *_: "{}")
    monkeypatch.setattr(files, "extensions", lambda *_, **__: (again,))
    with pytest.raises(
        RecordError, match=r"two reports of pm_audit.reports have the suffix '.json'"
    ):
        record.save(tmp_path / "record.json")
    for suffix in ("txt", "", None):
        with pytest.raises(ValueError, match="expected a dot and a name"):
            ReportFormat(suffix, lambda *_: "")
