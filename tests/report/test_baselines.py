"""Baselines and the placebo in words: who comes nearer with as many directions."""

from __future__ import annotations

import pytest

from pm_audit.records import Baseline, BaselinePoint, Figure, Unit
from pm_audit.report import baselines as baselines
from pm_audit.report.terminal_writer import TerminalWriter


def share(value: float) -> Figure:
    return Figure(value=value, unit=Unit.SHARE)


def baseline(name: str, *closures: float, collateral: float = 0.1) -> Baseline:
    return Baseline(
        name=name,
        points=tuple(
            BaselinePoint(directions=number, closure=share(closure), collateral=share(collateral))
            for number, closure in enumerate(closures, start=1)
        ),
    )


@pytest.fixture
def beside(record):
    return lambda *others: record.hypotheses[0].model_copy(update={"baselines": others})


def test_a_baseline_is_held_to_the_number_of_the_features(beside):
    said = baselines.standing(
        beside(baseline("sae features", 0.5, 0.6), baseline("pca", 0.1, 0.5, 1.0))
    )
    assert said == (
        "With 2 directions the SAE's features close 60% at 10% collateral; no baseline of "
        "their number comes nearer to the whole gap (best: pca, 50% at 10% collateral with 2 "
        "directions)."
    )


def test_overshoot_is_no_closure_and_the_best_baseline_is_named(beside):
    hypothesis = beside(
        baseline("sae features", 0.6),
        baseline("wild", 1.9),
        baseline("fair", 0.9),
        baseline("none"),
    )
    said = baselines.standing(hypothesis)
    assert said.endswith("nearer to the whole gap: fair, 90% at 10% collateral with 1 direction.")


def test_without_features_the_baselines_speak_alone(beside):
    said = baselines.standing(beside(baseline("sae features"), baseline("pca", 0.2, 0.7)))
    assert said.startswith("No feature was selected; of the baselines, pca comes nearest")
    assert said.endswith("70% at 10% collateral with 2 directions.")
    assert baselines.standing(beside()) is None
    assert baselines.standing(beside(baseline("sae features", 0.5))) is None


def test_the_placebo_counts_its_searches(record):
    hypothesis = record.hypotheses[0]
    assert baselines.placebo(hypothesis).startswith("3 searches on exchanged labels closed 0.4%")
    one = hypothesis.evidence.model_copy(update={"placebos": hypothesis.evidence.placebos[:1]})
    assert baselines.placebo(hypothesis.model_copy(update={"evidence": one})).startswith(
        "1 search on"
    )
    assert baselines.placebo(record.hypotheses[2]) is None


def test_the_table_has_a_column_for_each_number_shown(record):
    header, *rows = baselines.table(record.hypotheses[0])
    assert header == ["directions", "1", "2", "3"]
    assert [row[0] for row in rows] == [r.name for r in record.hypotheses[0].baselines]
    assert rows[2][2:] == ["", ""]
    page = TerminalWriter()
    baselines.terminal_lines(page, record.hypotheses[0])
    lines = page.text().split("\n")
    assert len(lines) > 6
    assert all(len(line) <= 100 for line in lines)
