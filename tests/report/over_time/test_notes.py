"""A reviewer's notes, and every way in which their file can be wrong."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from pm_audit.errors import InvalidSpec
from pm_audit.report.over_time.notes import LONGEST, notes_path, of_the_whole, read_notes
from pm_audit.spec import today

NOTES = """\
- hypothesis: urls
  note: |
    Two of the links are real;
    the probe needs new ones.
  author: Ada
  day: 2026-03-02
- note: Agreed to ship.
  author: "Grace: release"
  day: 2026-03-01
"""


@pytest.fixture
def beside(tmp_path, monkeypatch):
    """Return what writes notes next to a record and gives the record's path."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reports").mkdir()

    def write(text: str) -> Path:
        (tmp_path / "reports" / "record.notes.yaml").write_text(text, encoding="utf-8")
        return Path("reports/record.json")

    return write


def faults(path: Path, record=None) -> list[str]:
    with pytest.raises(InvalidSpec) as caught:
        read_notes(path, record)
    return [str(problem) for problem in caught.value.problems]


def test_notes_are_read_oldest_first(beside, record):
    first, second = read_notes(beside(NOTES), record)
    assert first.hypothesis is None
    assert first.signature == "Grace: release, 2026-03-01"
    assert second.note == "Two of the links are real;\nthe probe needs new ones.\n"
    assert second.day == datetime.date(2026, 3, 2)
    urls, other = record.hypotheses[1], record.hypotheses[0]
    assert urls.name == "urls"
    assert second.about(urls)
    assert not second.about(other)
    assert of_the_whole([first, second]) == (first,)


def test_a_note_is_about_every_objective_or_about_the_one_it_names(beside, record):
    each = record.hypotheses[1]
    help_, harm = (
        each.model_copy(update={"name": f"urls@{name}", "objective": name})
        for name in ("help", "harm")
    )
    both = record.model_copy(update={"hypotheses": (help_, harm)})
    text = "- {hypothesis: urls, note: a, author: b, day: 2026-01-01}\n"
    every, one = read_notes(beside(text + text.replace("urls", "urls@harm")), both)
    assert [every.about(help_), every.about(harm)] == [True, True]
    assert [one.about(help_), one.about(harm)] == [False, True]


def test_a_record_in_a_folder_above_has_notes_too(beside, monkeypatch, tmp_path):
    beside(NOTES)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert len(read_notes(Path("../reports/record.json"))) == 2


def test_without_a_file_there_are_none(tmp_path):
    assert read_notes(tmp_path / "record.json") == ()
    assert notes_path(Path("a/b.1.json")) == Path("a/b.1.notes.yaml")


def test_every_fault_is_told_with_its_place(beside, record):
    text = (
        "- {hypothesis: ulrs, note: a, author: b, day: 2026-01-01}\n"
        "- note: 5\n"
        "  author: ''\n"
        "  day: yesterday\n"
        "- {note: ' ', author: b, day: 2026-01-01}\n"
        "- {note: a, autor: b, day: 2026-01-01}\n"
        f"- {{note: {'x' * (LONGEST + 1)}, author: b, day: 2026-01-01}}\n"
        f"- {{note: a, author: b, day: {today() + datetime.timedelta(days=3)}}}\n"
        "- urls\n"
    )
    found = faults(beside(text), record)
    assert [fault.split(": ")[0] for fault in found] == [
        f"reports/record.notes.yaml:{place}"
        for place in ("1:16", "2:9", "3:11", "4:8", "5:10", "6:13", "7:10", "8:29", "9:3")
    ]
    assert "no hypothesis 'ulrs'; did you mean `urls`" in found[0]
    assert "a day is written as 2027-01-31" in found[3]
    assert "unknown key 'autor'; did you mean `author`" in found[5]
    assert "has not come yet" in found[7]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ":1:1: the file is empty"),
        ("urls: fine\n", ":1:1: write a list of notes"),
        ("- &x {note: a, author: b, day: 2026-01-01}\n", ":1:3: anchors (&) are refused"),
        ("- !!python/object:os.system {}\n", ":1:3: tags (!) are refused"),
        ("- note: a\x1b[31m\n", ":1:10: character U+001B is not allowed"),
    ],
    ids=["empty", "mapping", "anchor", "tag", "escape"],
)
def test_notes_are_data_only(beside, text, said):
    assert f"reports/record.notes.yaml{said}" in "\n".join(faults(beside(text)))


@pytest.mark.parametrize("kind", ["folder", "link out", "dangling"])
def test_what_cannot_be_read_is_refused(tmp_path, kind):
    record = tmp_path / "project" / "record.json"
    record.parent.mkdir()
    path = notes_path(record)
    match kind:
        case "folder":
            path.mkdir()
        case "link out":
            (tmp_path / "elsewhere.yaml").write_text(NOTES)
            path.symlink_to(tmp_path / "elsewhere.yaml")
        case "dangling":
            path.symlink_to("nowhere.yaml")
    (fault,) = faults(record)
    assert fault.startswith("record.notes.yaml: ")


def test_without_its_record_any_hypothesis_may_be_named(beside):
    path = beside("- {hypothesis: other, note: a, author: b, day: 2026-01-01}\n")
    (note,) = read_notes(path)
    assert note.line(50) == "a (b, 2026-01-01)"
