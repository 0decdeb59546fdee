"""Pairs as rows: shared completions read once, whole prompts a portion, long texts left out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pm_audit.data.dialogue import Speaker, Turn
from pm_audit.data.pair import Pair, PairSet, SkipReason
from pm_audit.errors import AuditError
from pm_audit.pipelines.repairing import paired_rewards
from pm_audit.pipelines.repairing.paired_rewards import read, split, without_prompts_of
from recipes.planted.linear import plant

torch.set_num_threads(1)

PM = plant({"!": 0.4}).pm


def pair(number: int, prompt: str, examples: tuple[str, ...], others: tuple[str, ...]) -> Pair:
    turns = (Turn(speaker=Speaker.HUMAN, text=prompt),)
    return Pair(str(number), number, turns, examples, others, {})


def pair_set(*pairs: Pair) -> PairSet:
    return PairSet("pairs.jsonl", "", len(pairs), 0, pairs, ())


def test_a_completion_of_several_pairs_is_one_row():
    pairs = read(
        PM,
        pair_set(
            pair(0, "one", (" a",), (" b",)),
            pair(1, "two", (" a",), (" b",)),
            pair(2, "one", (" a", " c"), (" b",)),
        ),
    )
    (portion,) = pairs.portions()
    assert len(portion.grid) == 5
    assert portion.pairs == (0, 2, 1)
    rewards = np.array([1.0, 2.0, 3.0, 0.0, 0.0])  # a, b, c of one; a, b of two
    assert portion.correct(rewards).tolist() == [0.0, 0.5, 0.5]
    assert portion.gaps(rewards).tolist() == [-1.0, 0.0, 0.0]


def test_portions_hold_whole_prompts_and_all_pairs(monkeypatch):
    monkeypatch.setattr(paired_rewards, "PORTION_TOKENS", 120)
    pairs = read(
        PM,
        pair_set(*(pair(at, f"prompt {at % 7}", (f" a{at}",), (" b",)) for at in range(20))),
    )
    portions = list(pairs.portions())
    assert len(portions) > 2
    assert sorted(number for one in portions for number in one.pairs) == list(range(20))
    prompts = [set(pairs.prompt[list(one.pairs)].tolist()) for one in portions]
    assert sum(map(len, prompts)) == 7


def test_texts_that_are_too_long_are_counted_and_their_pairs_left_out():
    long, short = pair(0, "?", (" a",), (" b" * 50,)), pair(1, "?", (" a",), (" b",))
    pairs = read(PM, pair_set(long, short), most_tokens=60)
    assert [one.id for one in pairs.pairs] == ["1"]
    (skipped,) = pairs.skipped
    assert (skipped.row, skipped.reason) == (0, SkipReason.TOO_LONG)
    assert "longer than 60" in skipped.detail
    with pytest.raises(AuditError, match="none of its 1 pairs can be read"):
        read(PM, pair_set(long), most_tokens=60)
    with pytest.raises(AuditError, match="holds no pair"):
        read(PM, pair_set())


def test_halves_share_no_prompt_and_a_seed_draws_others():
    pairs = read(
        PM, pair_set(*(pair(at, f"prompt {at // 2}", (f" a{at}",), (" b",)) for at in range(80)))
    )
    first, second = split(pairs, seed=0)
    assert set(first.prompt.tolist()).isdisjoint(second.prompt.tolist())
    assert first.prompts + second.prompts == 40
    assert 10 <= first.prompts <= 30
    other, _ = split(pairs, seed=1)
    assert set(other.prompt.tolist()) != set(first.prompt.tolist())


def test_prompts_of_one_set_are_left_out_of_another():
    one = read(PM, pair_set(pair(0, "x", (" a",), (" b",)), pair(1, "y", (" a",), (" b",))))
    other = read(PM, pair_set(pair(0, "y", (" c",), (" d",))))
    assert [pair.id for pair in without_prompts_of(one, other).pairs] == ["0"]
