from __future__ import annotations

import re
from pathlib import Path

from pm_audit.report import markdown

GOLDEN = Path(__file__).parent / "golden"
HOSTILE = ["<img src=x>", "| a | b |", "`` ` ``", "@someone #1 http://x.com", "# h", "::error::x"]


def test_the_page_is_the_stored_one(record):
    assert markdown.render(record) == (GOLDEN / "record.md").read_text(encoding="utf-8")


def test_hostile_texts_keep_every_table_in_shape(with_texts):
    page = markdown.render(with_texts(HOSTILE))
    tables = re.findall(r"(?:^\|.*\n)+", page, flags=re.MULTILINE)
    for table in tables:
        columns = {len(re.findall(r"(?<!\\)\|", row)) for row in table.strip().split("\n")}
        assert len(columns) == 1, table


def test_no_hostile_prose_becomes_markup(with_texts):
    page = markdown.render(with_texts(HOSTILE)).replace("\\`", "")
    outside = re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "", page)
    assert "<img" not in outside
    assert "@someone" not in outside
    assert "http://" not in outside
    assert "\n::" not in outside


def test_a_partial_record_says_so(record):
    page = markdown.render(record.model_copy(update={"complete": False}))
    assert "This is not a release verdict" in page
