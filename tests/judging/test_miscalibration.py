"""How far a PM leans beyond the labellers, on pairs that can be counted on paper."""

from __future__ import annotations

import numpy as np
import pytest

import pm_audit
from pm_audit.data.dialogue import Speaker, Turn
from pm_audit.data.pair import Pair
from pm_audit.errors import AuditError
from pm_audit.judging.miscalibration import columns_sides
from pm_audit.stats import PromptBootstrap, mean_over_prompts


def test_shares_and_their_difference_are_counted_over_pairs_that_show_it_once():
    #          both sides   the preferred side shows it   the other side shows it
    side = [0.0, 1.0, 2.0, 1.0, -1.0, -3.0]
    gaps = [5.0, 1.0, -1.0, 0.0, -2.0, -1.0]
    found = pm_audit.miscalibration("emoji", side, gaps, [0, 1, 2, 3, 4, 5])
    assert (found.pairs, found.prompts) == (5, 5)
    assert found.by_labellers == pytest.approx(3 / 5)
    assert found.by_pm == pytest.approx((1 + 0 + 0.5 + 1 + 1) / 5)
    assert found.difference.value == pytest.approx(0.7 - 0.6)
    assert found.difference.low < 0 < found.difference.high


def test_nothing_is_said_where_no_pair_shows_it_once():
    assert pm_audit.miscalibration("emoji", [0, 0], [1, 1], ["a", "b"]) is None


@pytest.mark.parametrize(
    ("side", "gaps", "prompts", "said"),
    [
        ([1, 1], [1.0], [0, 1], "give one of each for every pair"),
        ([[1]], [[1.0]], [[0]], "give one of each for every pair"),
        ([1, np.nan], [1.0, 1.0], [0, 1], "not finite"),
        ([1, 1], [1.0, np.inf], [0, 1], "not finite"),
    ],
)
def test_what_does_not_fit_is_refused(side, gaps, prompts, said):
    with pytest.raises(AuditError, match=said):
        pm_audit.miscalibration("emoji", side, gaps, prompts)


def test_pairs_of_one_prompt_stand_or_fall_together():
    generator = np.random.default_rng(0)
    one_each = generator.normal(size=40)
    alone = mean_over_prompts(one_each, np.arange(40), resamples=500, seed=1)
    bootstrap = PromptBootstrap(40, resamples=500, confidence=0.95, seed=1)
    assert (alone.low, alone.high) == pytest.approx(
        (bootstrap.mean(one_each).low, bootstrap.mean(one_each).high)
    )
    # ten copies of each prompt's pair say nothing more than one
    copies = mean_over_prompts(
        np.repeat(one_each, 10), np.repeat(np.arange(40), 10), resamples=500, seed=1
    )
    assert (copies.value, copies.low) == pytest.approx((alone.value, alone.low))


def test_every_pair_counts_alike_whatever_its_prompt():
    found = mean_over_prompts(np.array([1.0, 0.0, 0.0, 0.0]), np.array([7, 9, 9, 9]))
    assert found.value == 0.25


def pair_of(example: str, other: str, **columns) -> Pair:
    turns = (Turn(speaker=Speaker.HUMAN, text="?"),)
    return Pair("1", 0, turns, (example,), (other,), columns)


def test_columns_and_length_say_which_side_shows_more():
    pairs = [
        pair_of(" longer", " long", lists=2),
        pair_of(" a", " b", lists=None),
        pair_of("", " c", lists=-1),
    ]
    found = columns_sides(pairs, ("lists",))
    assert found["longer"].tolist() == [1, 0, -1]
    assert found["lists"].tolist() == [2, 0, -1]
