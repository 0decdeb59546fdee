"""A history in the terminal: rows line up, heights keep the order of the values, text is safe."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pm_audit.records import Outcome
from pm_audit.report.over_time.history import SetAside
from pm_audit.report.over_time.notes import Note
from pm_audit.report.over_time.sparklines import LEVELS, MISSING, MOST, sparkline, summary
from pm_audit.report.terminal_writer import WIDTH

finite = st.floats(-1e6, 1e6)


@given(st.lists(finite | st.none(), max_size=30))
def test_heights_keep_the_order_of_the_values(values):
    line = sparkline(values)
    assert len(line) == len(values)
    pairs = [(v, LEVELS.index(c)) for v, c in zip(values, line, strict=True) if v is not None]
    assert all(c == MISSING for v, c in zip(values, line, strict=True) if v is None)
    for value, level in pairs:
        for other, its in pairs:
            assert value <= other or level >= its
    if pairs and max(pairs)[0] > 0 >= min(pairs)[0]:
        assert max(pairs)[1] == len(LEVELS) - 1


def test_zero_is_part_of_the_scale():
    assert sparkline([2.0, 2.0]) == "██"
    assert sparkline([-2.0, -1.0, 0.0]) == "▁▅█"
    assert sparkline([0.0]) == "▁"
    assert sparkline([1.0, None, 1.0], ["", "", "|"]) == "█·|█"


def test_a_row_a_hypothesis_and_a_column_a_release(record, shifted, history_of):
    records = [
        shifted(record, "urls", -0.4 * at, created=f"2026-0{at + 1}-01T00:00:00Z")
        for at in range(4)
    ]
    weaker = records[2].method.model_copy(update={"seed": 5})
    records[2] = records[2].model_copy(update={"method": weaker})
    text = summary(history_of(records))
    lines = text.splitlines()
    assert lines[0] == "4 releases of default, 2026-01-01 to 2026-04-01"
    (urls,) = (line.split() for line in lines if line.startswith("urls"))
    assert urls[1:3] == ["▄▃|▂|▁", "-3.10"]
    assert urls[5] == "✕✕|✕|✕"
    assert "     ! 1 regression: urls" in lines
    assert text.count("a seed can be chosen until the checks pass") == 2


def test_other_texts_interrupt_one_hypothesis_alone(record, shifted, history_of):
    records = [record, shifted(record, "urls", 0.1), record]
    urls = next(one for one in records[1].hypotheses if one.name == "urls")
    rows = tuple(
        row.model_copy(update={"text": f"{row.text} Other."}) for row in urls.evidence.rows
    )
    other = urls.model_copy(update={"evidence": urls.evidence.model_copy(update={"rows": rows})})
    changed = tuple(other if one is urls else one for one in records[1].hypotheses)
    records[1] = records[1].model_copy(update={"hypotheses": changed})
    text = summary(history_of(records))
    lines = {line.split("  ")[0]: line for line in text.splitlines()}
    assert lines["urls"].count("|") == 6
    assert "▁ ▁ ▁" in lines["i-dont-know"]
    assert "|" not in lines["i-dont-know"]
    assert "     | urls: the texts are not the baseline's" in text


def test_no_line_is_wider_than_the_terminal(twenty_releases):
    text = summary(twenty_releases)
    assert max(map(len, text.splitlines())) <= WIDTH
    assert f"the last {MOST} are drawn" in text
    assert all(f"\n{at:>3}  2026-" in text for at in range(1, 21))


def test_what_left_and_what_was_set_aside_is_said(record, history_of):
    gone = record.model_copy(
        update={"hypotheses": record.hypotheses[1:], "manifest": record.manifest[1:]}
    )
    aside = SetAside(file="reports/scan.json", reason="holds no hypotheses")
    text = summary(history_of([record, gone], set_aside=[aside]))
    (row,) = (line for line in text.splitlines() if line.startswith(record.hypotheses[0].name))
    assert row.count("gone") == 2
    assert MISSING in row
    assert "set aside: reports/scan.json: holds no hypotheses" in text


@pytest.mark.parametrize(
    "hostile", ["\x1b[31mred", "::error::x", "##[error]", "a\nb", "\u202eevil"]
)
def test_hostile_texts_stay_on_their_line(record, history_of, hostile):
    subject = record.subject.model_copy(update={"pm": hostile})
    changed = record.model_copy(update={"subject": subject})
    note = Note(note=hostile, author=hostile, day="2026-01-01")
    text = summary(history_of([record, changed], [note], [SetAside(file=hostile, reason=hostile)]))
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "##[" not in text
    assert not any(line.lstrip().startswith("::") for line in text.splitlines())
    assert not any(line.strip().startswith("b") for line in text.splitlines())


def test_the_worst_outcome_is_shown(record, history_of):
    points = history_of([record]).releases[0].points
    assert points["urls"].worst is Outcome.FAIL
    assert points["youre-right"].worst is Outcome.FAIL
    assert points["length"].worst is Outcome.INVALID
    assert points["i-dont-know"].worst is Outcome.PASS
