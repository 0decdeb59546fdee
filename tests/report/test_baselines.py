"""Rivals and the placebo in words: who comes nearer with as many directions."""

from __future__ import annotations

import pytest

from pm_audit.records import Figure, Rival, RivalPoint, Unit
from pm_audit.report import baselines as rivals
from pm_audit.report.terminal_writer import TerminalWriter


def share(value: float) -> Figure:
    return Figure(value=value, unit=Unit.SHARE)


def rival(name: str, *closures: float, collateral: float = 0.1) -> Rival:
    return Rival(
        name=name,
        points=tuple(
            RivalPoint(directions=number, closure=share(closure), collateral=share(collateral))
            for number, closure in enumerate(closures, start=1)
        ),
    )


@pytest.fixture
def beside(record):
    return lambda *others: record.hypotheses[0].model_copy(update={"rivals": others})


def test_a_rival_is_held_to_the_number_of_the_features(beside):
    said = rivals.standing(beside(rival("sae features", 0.5, 0.6), rival("pca", 0.1, 0.5, 1.0)))
    assert said == (
        "With 2 directions the SAE's features close 60% at 10% collateral; no baseline of "
        "their number comes nearer to the whole gap (best: pca, 50% at 10% collateral with 2 "
        "directions)."
    )


def test_overshoot_is_no_closure_and_the_best_rival_is_named(beside):
    hypothesis = beside(
        rival("sae features", 0.6), rival("wild", 1.9), rival("fair", 0.9), rival("none")
    )
    said = rivals.standing(hypothesis)
    assert said.endswith("nearer to the whole gap: fair, 90% at 10% collateral with 1 direction.")


def test_without_features_the_rivals_speak_alone(beside):
    said = rivals.standing(beside(rival("sae features"), rival("pca", 0.2, 0.7)))
    assert said.startswith("No feature was selected; of the baselines, pca comes nearest")
    assert said.endswith("70% at 10% collateral with 2 directions.")
    assert rivals.standing(beside()) is None
    assert rivals.standing(beside(rival("sae features", 0.5))) is None


def test_the_placebo_counts_its_searches(record):
    hypothesis = record.hypotheses[0]
    assert rivals.placebo(hypothesis).startswith("3 searches on exchanged labels closed 0.4%")
    one = hypothesis.evidence.model_copy(update={"placebos": hypothesis.evidence.placebos[:1]})
    assert rivals.placebo(hypothesis.model_copy(update={"evidence": one})).startswith("1 search on")
    assert rivals.placebo(record.hypotheses[2]) is None


def test_the_table_has_a_column_for_each_number_shown(record):
    header, *rows = rivals.table(record.hypotheses[0])
    assert header == ["directions", "1", "2", "3"]
    assert [row[0] for row in rows] == [r.name for r in record.hypotheses[0].rivals]
    assert rows[2][2:] == ["", ""]
    page = TerminalWriter()
    rivals.terminal_lines(page, record.hypotheses[0])
    lines = page.text().split("\n")
    assert len(lines) > 6
    assert all(len(line) <= 100 for line in lines)
