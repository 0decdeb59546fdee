from __future__ import annotations

from pathlib import Path

from pm_audit.records import Check, Figure, Unit
from pm_audit.report import terminal
from pm_audit.report.terminal_writer import TerminalWriter

GOLDEN = Path(__file__).parent / "golden"


def test_the_summary_is_the_stored_one(record):
    expected = (GOLDEN / "summary.txt").read_text(encoding="utf-8")
    assert terminal.summary(record) + "\n" == expected


def test_verbose_lists_every_candidate_and_every_condition(record):
    text = terminal.summary(record, every_feature=True)
    assert text + "\n" == (GOLDEN / "summary_verbose.txt").read_text(encoding="utf-8")
    (candidate,) = (line for line in text.splitlines() if "don't” (resid_6/44)" in line)
    assert candidate.split()[3:7] == ["1.6%", "-0.0381", "45%", "0/2"]
    for condition in ("zero replacement", "sufficiency", "unseen “I don't know.”", "stability"):
        assert condition in text


def test_the_widest_figures_fit_a_hundred_columns(record):
    def wide(unit: Unit) -> Figure:
        size = 99.99 if unit is not Unit.SHARE else 9.99
        return Figure(value=-size, low=-size, high=size, unit=unit)

    hypotheses = tuple(
        h.model_copy(
            update={
                "name": "n" * 80,
                "gap_sigma": wide(Unit.SIGMA),
                "residual_sigma": wide(Unit.SIGMA),
                "closure": Figure(value=-1.0, low=-1.0, high=1.0, unit=Unit.SHARE),
            }
        )
        for h in record.hypotheses
    )
    text = terminal.summary(
        record.model_copy(update={"hypotheses": hypotheses}), every_feature=True
    )
    assert max(len(line) for line in text.split("\n")) <= terminal.WIDTH


def test_an_open_interval_is_not_written_as_infinite(record):
    first = record.hypotheses[0]
    open_below = first.closure.model_copy(update={"low": None})
    one = first.model_copy(update={"closure": open_below})
    text = terminal.summary(record.model_copy(update={"hypotheses": (one,)}))
    assert "82% [open, 89%]" in text
    assert "inf]" not in text.replace("inc: inconclusive", "")
    assert "-inf" not in text


def test_a_partial_record_says_so(record):
    hypotheses = tuple(h.model_copy(update={"checks": h.checks[:1]}) for h in record.hypotheses)
    partial = record.model_copy(update={"complete": False, "hypotheses": hypotheses})
    assert "PARTIAL: 5 of 20 checks" in terminal.summary(partial)


def test_a_failure_tells_place_figures_reason_and_command(record):
    hypothesis = record.hypotheses[1]
    result = next(c for c in hypothesis.checks if c.check is Check.EXPLAINED)
    text = terminal.failure(hypothesis, result, place="a.yaml:12", command="pytest --pm-audit a")
    first, *others = text.split("\n")
    assert first == f"refuted: {result.reason}"
    assert others[0] == "  at        a.yaml:12"
    assert others[1:3] == [f"  claim     {hypothesis.claim}", "  expects   lowers"]
    for word in ("gap", "residual", "again     pytest --pm-audit a", "68% of the gap"):
        assert any(word in line for line in others), word


def test_a_sentence_may_hold_a_node_id_and_no_workflow_command():
    page = TerminalWriter(width=34)
    page.wrapped("changed: hypotheses/urls.yaml::urls/gap, ::error::x and\n::warning::y ##[group]")
    lines = page.text().splitlines()
    assert any("urls.yaml::urls/gap" in line for line in lines)
    assert not any(line.lstrip().startswith("::") or "##[" in line for line in lines)
