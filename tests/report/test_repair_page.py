"""The page of a repair: what it shows, and that hostile texts add nothing to it."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from pm_audit.cli import main
from pm_audit.records import Feature, Figure, SaeRecord, SubjectRecord, Unit
from pm_audit.records.repair import (
    JudgedRepair,
    Level,
    Miscalibration,
    PairsRead,
    RepairCandidate,
    RepairKind,
    RepairRecord,
    SubsetChange,
)
from pm_audit.report.html.repair import render
from pm_audit.report.preferences.repair import markdown, terminal
from tests.report.test_html import HOSTILE, Elements


def figure(value: float, low: float | None, high: float | None) -> Figure:
    return Figure(value=value, low=low, high=high, unit=Unit.SHARE)


def record(text: str = "plain", *, judged: bool = True, low: float | None = -0.02) -> RepairRecord:
    """Return a record in which every text of data, users and models is ``text``."""
    read = PairsRead(
        file=text, sha256=text, rows=10, pairs=9, prompts=8, skipped={"too long": 1, text: 2}
    )
    candidate = RepairCandidate(
        name=text,
        kind=RepairKind.FEATURES,
        level=Level.ZERO,
        features=(Feature(sae=text, layer=1, index=2),),
        change={"all": -0.004, text: 0.25},
    )
    subsets = tuple(
        SubsetChange(subset=name, pairs=9, prompts=8, before=0.5, after=0.625, change=change)
        for name, change in (
            ("all", figure(0.125, low, 0.3)),
            (text, figure(0.25, 0.125, 0.375)),
        )
    )
    one = JudgedRepair(target=text, candidate=candidate, subsets=subsets, helps=True, reason=text)
    lean = Miscalibration(
        contrast=text, pairs=7, prompts=6, by_pm=0.75, by_labellers=0.5,
        difference=figure(0.25, 0.0625, 0.4375),
    )  # fmt: skip
    sae = SaeRecord(name=text, source=text, architecture="topk", layer=6, width=8, sha256=text)
    return RepairRecord(
        created="2026-01-01T00:00:00+00:00",
        audit_digest=text,
        subject=SubjectRecord(
            pm=text, pm_sha256=text, tokenizer_sha256=text, text_format="hh", objective=None,
            dtype="float32", device="cpu", layers=2, hidden_size=8, saes=(sae,),
        ),
        chosen_on=read,
        judged_on=read,
        by=text,
        tolerance=0.005,
        confidence=0.95,
        seed=0,
        candidates=(candidate,) * 25,
        judged=(one,) if judged else (),
        miscalibration=(lean,) if judged else (),
        notes=(text,),
    )  # fmt: skip


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_texts_add_no_element_and_nothing_raw(hostile):
    plain, page = Elements(render(record())), render(record(hostile))
    harmed = Elements(page)
    assert harmed.counts == plain.counts
    assert harmed.active == plain.active == []
    assert len(harmed.ids) == len(set(harmed.ids))
    for raw in ("\x1b", "\u202e", "##[", "alert(1)</script>"):
        assert raw not in page
    assert "\x1b" not in terminal(record(hostile)) + markdown(record(hostile))
    assert "<script" not in markdown(record(hostile))


def test_a_change_stands_at_its_place_between_its_ends():
    page = render(record())
    # -2 to 37.5 points fill 3% to 97% of a strip, with a margin of 4% of the span on both sides
    start, span = -2 - 0.04 * 39.5, 39.5 * 1.08
    for points in (12.5, -2, 30, 25, 37.5):
        place = round(3 + 94 * (points - start) / span, 2)
        assert f'"{place}%"' in page, points
    assert "+12.5 [-2.0, +30.0] points" in page
    assert "+25.0 [+12.5, +37.5] points" in page


def test_an_open_end_is_drawn_to_the_edge():
    page = render(record(low=None))
    assert 'x1="0.0%"' in page
    assert "[unbounded, +30.0]" in page


def test_without_a_judged_repair_the_page_says_so():
    page = render(record(judged=False))
    assert "No repair was judged." in page
    assert "No verified set helps" in page


def test_the_twenty_best_are_drawn_and_all_are_listed():
    page = render(record())
    assert "The 20 best of 25 repairs." in page
    listed = page.split('id="repairs"')[1].split("</table>")[0]
    assert listed.count("<tr>") == 1 + 25


def test_the_commands_of_records_show_a_repair(tmp_path):
    path = tmp_path / "repair.json"
    record().save(path)
    assert (
        CliRunner().invoke(main, ["show", str(path)]).output.strip() == terminal(record()).strip()
    )
    for suffix, text in ((".html", render(record())), (".md", markdown(record()))):
        target = path.with_suffix(suffix)
        assert CliRunner().invoke(main, ["report", str(path), "-o", str(target)]).exit_code == 0
        assert target.read_text() == text
    refused = CliRunner().invoke(main, ["report", str(path), "-o", str(tmp_path / "x.csv")])
    assert refused.exit_code == 2
    assert "a repair is written as .json, .html, .md" in refused.output


def test_a_record_is_never_written_over_by_its_own_page(tmp_path):
    path = tmp_path / "repair.json"
    record().save(path)
    before = path.read_bytes()
    refused = CliRunner().invoke(main, ["report", str(path), "-o", str(path)])
    assert refused.exit_code == 2
    assert path.read_bytes() == before
    data = ["--data", str(path)]
    refused = CliRunner().invoke(main, ["repair", str(path), *data, "-o", str(path)])
    assert refused.exit_code == 2
    assert "would be replaced" in " ".join(refused.output.split())
    assert path.read_bytes() == before
