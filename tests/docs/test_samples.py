"""What README and guide show was printed by the commands that they name."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from pm_audit.records import AuditRecord

ROOT = Path(__file__).parents[2]
SHOWN = [
    ROOT / "README.md",
    ROOT / "docs/tutorial.md",
    *sorted((ROOT / "docs/how-to").glob("*.md")),
]


@pytest.fixture(scope="module")
def samples() -> dict:
    return runpy.run_path(str(ROOT / "docs" / "samples.py"))


@pytest.mark.parametrize("page", SHOWN, ids=lambda page: page.name)
def test_samples_and_figures_are_those_of_today(samples, page):
    assert samples["stale"](page) == [], "run `make docs-samples`"


@pytest.mark.parametrize("page", SHOWN, ids=lambda page: page.name)
def test_every_sample_output_names_its_command(samples, page):
    text = page.read_text(encoding="utf-8")
    assert len(samples["SAMPLE"].findall(text)) == len(re.findall(r"^```text", text, re.MULTILINE))
    assert not re.search(r"^<!-- figure", text, re.MULTILINE)  # it would end the paragraph


def test_a_stale_sample_and_a_stale_figure_are_found_and_written_again(samples, tmp_path):
    page = tmp_path / "page.md"
    marker = "pm-audit glossary closure"
    page.write_text(
        f"It is 9.99<!-- figure: urls gap --> or -<!-- figure: urls closure -->.\n\n"
        f"<!-- sample: {marker} -->\n```text\nold\n```\n\nAfter.\n"
    )
    assert samples["stale"](page) == [marker, "urls gap", "urls closure"]
    page.write_text(samples["filled"](page.read_text()))
    assert samples["stale"](page) == []
    new = page.read_text()
    assert "kappa = 1 - G_S / G" in new
    assert new.endswith("```\n\nAfter.\n")
    assert samples["filled"](new) == new


def test_figures_are_the_baselines(samples):
    record = AuditRecord.read(ROOT / "reports" / "baseline.json")
    (urls,) = [one for one in record.hypotheses if one.name == "urls"]
    figure = samples["figure"]
    assert float(figure("urls", "gap")) == pytest.approx(urls.gap_sigma.value, abs=0.006)
    assert float(figure("urls", "size")) == pytest.approx(abs(urls.gap_sigma.value), abs=0.006)
    assert float(figure("urls", "residual")) == pytest.approx(
        abs(urls.residual_sigma.value), abs=0.006
    )
    assert float(figure("urls", "closure")[:-1]) == pytest.approx(100 * urls.closure.value, abs=0.6)
    with pytest.raises(SystemExit, match="holds no such figure"):
        figure("urls", "beauty")


def test_a_filter_keeps_rows_or_a_section_and_refuses_the_rest(samples):
    lines = ["name  gap", "----  ---", "b     1", "a     2", "", "a: found", "  more", "", "end"]
    kept = samples["kept"]
    assert kept(lines, "rows a b") == ["name  gap", "----  ---", "a     2", "b     1"]
    assert kept(lines, "section a") == ["a: found", "  more"]
    for wrong, said in (("rows c", "no table has a row c"), ("section c", "starts with `c:`")):
        with pytest.raises(SystemExit, match=said):
            kept(lines, wrong)
    with pytest.raises(SystemExit, match="write `rows NAME"):
        kept(lines, "lines 3")


def test_a_command_that_fails_or_is_none_of_ours_is_refused(samples):
    with pytest.raises(SystemExit, match="only pm-audit's own"):
        samples["output"]("rm -r reports")
    with pytest.raises(SystemExit, match="no such record"):
        samples["output"]("pm-audit show reports/none.json")


@pytest.mark.parametrize(
    ("other", "same"), [("+0.401", True), ("+0.402", True), ("+0.403", False), ("+0.40", True)]
)
def test_a_measured_figure_may_differ_in_its_last_digit(samples, monkeypatch, other, same):
    holds = samples["holds"]
    monkeypatch.setitem(holds.__globals__, "output", lambda marker: "A +0.400 is\n")
    assert holds("pm-audit explain A", f"A {other} is\n") is same
    assert not holds("pm-audit explain A", f"B {other} is\n")
    assert not holds("pm-audit show", f"A {other} is\n")


def test_the_prose_says_of_three_hypotheses_what_the_baseline_holds():
    """README and tutorial explain these rows in words: where this fails, write them again."""
    record = AuditRecord.read(ROOT / "reports" / "baseline.json")
    found = {
        one.name: (one.gap_sigma.value, [check.outcome.value for check in one.checks])
        for one in record.hypotheses
    }
    assert found["hedging"][0] > 0
    assert found["hedging"][1] == ["fail", "pass", "inconclusive", "pass"]
    assert found["urls"][0] > 0
    assert found["urls"][1] == ["fail", "pass", "inconclusive", "pass"]
    assert found["off-topic"][1][:2] == ["inconclusive", "invalid"]
