"""The pictures of the guide: the worked example adds up, the others hold a record's figures."""

from __future__ import annotations

import re
import runpy
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from pm_audit.records import AuditRecord

ROOT = Path(__file__).parents[2]
TEXT = "{http://www.w3.org/2000/svg}text"
CIRCLE = "{http://www.w3.org/2000/svg}circle"


@pytest.fixture(scope="module")
def make() -> dict:
    return runpy.run_path(str(ROOT / "docs" / "make_pictures.py"))


@pytest.fixture(scope="module")
def record(stored_record_path) -> AuditRecord:
    return AuditRecord.read(stored_record_path)


def texts(picture: str) -> list[str]:
    return [element.text for element in ElementTree.fromstring(picture).iter(TEXT)]


def test_the_pictures_are_those_of_the_baseline(make):
    assert make["main"](["--check"]) == 0, "run `make docs-samples`"


def test_the_worked_example_says_what_its_bars_add_up_to(make):
    picture = make["contrast"]()
    widths = [int(width) for width in re.findall(r' width="(\d+)" height="22"', picture)]
    sums = [int(text) for text in texts(picture) if text.isdigit()]
    assert sum(widths) == 14 * sum(sums)
    assert sums == [10, 6, 7, 2, 2, 2, 6, 6, 6]
    said = [text for text in texts(picture) if "gap" in text or "moves" in text]
    assert said == [
        "gap 4",
        *("gap 0, closure 100%", "counter-example moves 100%", "control moves 125%"),
        *("gap 0, closure 100%", "counter-example moves 0%", "control moves 25%"),
    ]


def test_a_mark_stands_at_its_figure(make, record):
    picture = make["sufficiency"](record)
    shown = [text for text in texts(picture) if "-" in text and "%" not in text]
    assert shown == ["i-dont-know", "answers-the-question"]
    by_name = {one.name: one for one in record.hypotheses}
    marks = [one for one in ElementTree.fromstring(picture).iter(CIRCLE) if one.get("r") == "4"]
    expected = [
        figure.value
        for name in ("urls", "i-dont-know", "answers-the-question")
        for figure in (by_name[name].closure, by_name[name].sufficiency)
    ]
    shares = [-0.25 + 1.75 * (float(one.get("cx")) - 190) / 500 for one in marks]
    assert shares == pytest.approx(expected, abs=1e-3)


def test_every_phrasing_with_a_gap_is_a_dot(make, record):
    tree = ElementTree.fromstring(make["transfer"](record))
    found = sum(one.closure is not None for h in record.hypotheses for one in h.transfer)
    assert len(list(tree.iter(CIRCLE))) == found == 9
