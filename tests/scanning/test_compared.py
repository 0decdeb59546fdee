from __future__ import annotations

from dataclasses import replace

import pytest

from pm_audit.data import Speaker, Turn, read_rows
from pm_audit.scanning.compared import (
    Comparison,
    Sides,
    comparisons,
    diverging,
    portions,
    share_of_prompt,
    tokenised,
)
from recipes.planted.linear import plant

TURNS = (Turn(speaker=Speaker.HUMAN, text="Where?"),)


@pytest.fixture(scope="module")
def pm():
    return plant({}).pm


def compared(chosen: str, rejected: str) -> Comparison:
    return Comparison(0, TURNS, chosen, rejected)


def read(pm, chosen: str, rejected: str) -> Sides:
    found = tokenised(pm, compared(chosen, rejected))
    assert isinstance(found, Sides)
    return found


@pytest.mark.parametrize(
    ("chosen", "rejected", "rest"),
    [
        (" By the mill.", " By the river.", ("mill.", "river.")),
        (" Here.", " There.", ("Here.", "There.")),
        (" Go", " Go on", ("", " on")),
        ("Yes", " No", ("Yes", " No")),
    ],
)
def test_the_diverging_part_begins_at_the_first_token_that_differs(pm, chosen, rejected, rest):
    sides = read(pm, chosen, rejected)
    texts = [
        text.text[text.offsets[sides.start][0] :]
        for text in sides.texts
        if sides.start < len(text.token_ids)
    ]
    assert texts == [one for one in rest if one]
    for row, text in zip(diverging([sides]).rows, sides.texts, strict=True):
        assert row.completion_start == sides.start
        assert row.token_ids == text.token_ids


def test_a_text_that_the_pm_cannot_read_says_why(pm):
    short = replace(pm, text_format=replace(pm.text_format, longest=50))
    assert "50" in tokenised(short, compared(" a", " b" * 40))


def test_portions_keep_to_the_budget_and_their_order(pm):
    sides = [read(pm, f" {'a' * n}", f" {'b' * n}") for n in (3, 90, 4, 5, 40, 2)]
    budget = 150
    found = list(portions(sides, budget))
    assert [at for one in found for at in one] == list(range(len(sides)))
    for one in found:
        assert len(one) == 1 or sum(sides[at].tokens for at in one) <= budget
    assert [len(one) for one in found] != [1] * len(sides)
    assert list(portions([], budget)) == []


def test_texts_of_several_styles_are_matched_in_order():
    (first, second, third) = comparisons(
        read_rows([{"prompt": "p", "chosen": ["a", "b", "c"], "rejected": ["x", "y"]}]).pairs
    )
    assert [(one.chosen.strip(), one.rejected.strip()) for one in (first, second, third)] == [
        ("a", "x"),
        ("b", "y"),
        ("c", "x"),
    ]
    assert {one.pair for one in (first, second, third)} == {0}


def test_prompts_are_split_evenly_and_by_their_text_alone():
    prompts = [(Turn(speaker=Speaker.HUMAN, text=f"question {n}"),) for n in range(2000)]
    shares = [share_of_prompt(one, seed=0) for one in prompts]
    assert sum(share < 0.2 for share in shares) == pytest.approx(400, abs=60)
    assert share_of_prompt(prompts[7], seed=0) == shares[7]
    assert share_of_prompt(prompts[7], seed=1) != shares[7]
