"""What a reader is told beyond the outcomes."""

from __future__ import annotations

import pytest

from pm_audit.judging import judge
from pm_audit.records import Role
from tests.report.conftest import searched


@pytest.fixture
def warned(make_hypothesis, method):
    return lambda evidence: judge(make_hypothesis(), evidence, (), method=method).warnings


def test_an_overshoot_is_warned(warned, make_evidence, gaps):
    (warning,) = warned(make_evidence(gaps, closure=1.4))
    assert "overshoots: it closes 140% of the gap" in warning
    assert warned(make_evidence(gaps, closure=1.1)) == ()


def test_few_random_sets_and_folds_that_found_nothing_are_warned(warned, make_evidence, gaps):
    evidence = make_evidence(gaps, null_sets=5)
    empty = evidence.folds[1].model_copy(update={"selected": ()})
    found, few = warned(evidence.model_copy(update={"folds": (evidence.folds[0], empty)}))
    assert found.startswith("1 of 2 folds selected no feature")
    assert few.startswith("only 5 matched random sets")
    nothing = make_evidence(gaps, null_sets=5, selected=False)
    assert not any("folds selected" in warning for warning in warned(nothing))


def test_a_search_that_could_judge_few_edits_is_warned(warned, make_evidence, gaps):
    def found(**changes):
        generated = searched(**{"distinct": 40, "broke": False} | changes)
        return warned(make_evidence(gaps).model_copy(update={"generated": generated}))

    (warning,) = found(too_small=5, refused=15)
    assert warning.startswith("20 of 40 edits were not judged, as they change too few texts or")
    assert found(too_small=5, refused=14) == ()
    # one that breaks the claim is enough to refute it
    assert found(too_small=5, refused=15, broke=True) == ()


def single(evidence):
    kept = [
        number
        for number, row in enumerate(evidence.rows)
        if (row.role, row.variant) != ("example", 1)
    ]
    return evidence.model_copy(
        update={
            "rows": tuple(evidence.rows[number] for number in kept),
            "alongside": tuple(
                one.model_copy(update={"rewards": tuple(one.rewards[number] for number in kept)})
                for one in evidence.alongside
            ),
        }
    )


def test_a_single_phrasing_is_warned(warned, make_evidence, gaps):
    (warning,) = warned(single(make_evidence(gaps)))
    assert "the examples have a single phrasing" in warning
    unsearched = make_evidence([0.0] * 12).model_copy(update={"folds": ()})
    assert not any("phrasing" in warning for warning in warned(single(unsearched)))


def test_prompts_whose_counter_examples_are_all_blank_are_warned(warned, make_evidence, gaps):
    evidence = make_evidence(gaps)

    def with_blank(*blank):
        rows = (
            row.model_copy(update={"text": " \n"}) if (row.prompt, row.variant) in blank else row
            for row in evidence.rows
        )
        return evidence.model_copy(update={"rows": tuple(rows)})

    assert warned(with_blank((0, 0), (1, 1))) == ()
    (warning,) = warned(with_blank((0, 0), (0, 1), (1, 1)))
    assert warning.startswith("the counter-examples of 1 of 16 prompts are blank")


def test_unseen_phrasings_that_close_less_are_warned_with_both_figures(
    warned, make_evidence, full, gaps
):
    evidence = full(make_evidence(gaps, closure=0.9))
    assert evidence.transfer
    one, other = evidence.transfer
    same = one.model_copy(update={"gap_after": tuple(0.1 * gap for gap in one.gap)})
    worse = other.model_copy(update={"gap_after": tuple(0.9 * gap for gap in other.gap)})
    (warning,) = warned(evidence.model_copy(update={"transfer": (same, worse)}))
    assert "the search did not see, less of the gap is closed: together 0.7" in warning
    assert "example 2 0.10 [0.10, 0.10], against 0.90 [" in warning
    assert "example 1" not in warning
    worse = other.model_copy(update={"gap_after": tuple(0.1 * gap for gap in other.gap)})
    assert warned(evidence.model_copy(update={"transfer": (same, worse)})) == ()
    assert {row.variant for row in evidence.rows if row.role is Role.EXAMPLE} == {0, 1}
