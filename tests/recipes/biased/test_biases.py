"""Every hypothesis about the biased PM is one plain edit, and the audit's prompts are unseen."""

from __future__ import annotations

from itertools import takewhile

import numpy as np
import pytest

from recipes.biased.biases import NEGATIVE_CONTROLS, PLANTED, Bias
from recipes.biased.examples import training_examples
from recipes.biased.texts import Split, completion, draw_fields, named, questions


def pair(bias: Bias, seed: int) -> tuple[str, str]:
    generator = np.random.default_rng(seed)
    question = questions(Split.AUDIT)[int(generator.integers(96))]
    fields = draw_fields(question, generator) | named(bias.words, swapped=False)
    return completion(bias.example, fields), completion(bias.counter_example, fields)


def shared(one: str, other: str) -> int:
    return len(list(takewhile(lambda both: both[0] == both[1], zip(one, other, strict=False))))


def test_a_dozen_of_each_kind() -> None:
    assert len(PLANTED) == len(NEGATIVE_CONTROLS) == 12
    assert len({bias.name for bias in (*PLANTED, *NEGATIVE_CONTROLS)}) == 24
    sizes = [abs(bias.strength) for bias in PLANTED]
    assert len(set(sizes)) == 12
    assert min(sizes) < 0.25 < 0.5 < max(sizes)
    assert any(bias.strength > 0 for bias in PLANTED)
    assert any(bias.strength < 0 for bias in PLANTED)


@pytest.mark.parametrize("bias", [*PLANTED, *NEGATIVE_CONTROLS], ids=lambda bias: bias.name)
def test_example_and_counter_example_differ_in_one_edit(bias: Bias) -> None:
    example, counter = pair(bias, seed=3)
    assert example != counter
    before = shared(example, counter)
    after = shared(example[before:][::-1], counter[before:][::-1])
    assert max(len(example), len(counter)) - before - after < 35


@pytest.mark.parametrize(
    "negative_control", NEGATIVE_CONTROLS, ids=lambda negative_control: negative_control.name
)
def test_a_coin_swaps_the_sides_of_a_negative_control_and_nothing_else(
    negative_control: Bias,
) -> None:
    fields = draw_fields(questions(Split.AUDIT)[0], np.random.default_rng(0))
    straight, swapped = (
        fields | named(negative_control.words, swapped=coin) for coin in (False, True)
    )
    assert completion(negative_control.example, straight) == completion(
        negative_control.counter_example, swapped
    )
    assert completion(negative_control.example, swapped) == completion(
        negative_control.counter_example, straight
    )


def test_no_audit_sees_a_prompt_or_a_sentence_of_the_training() -> None:
    trained, audited = questions(Split.TRAIN), questions(Split.AUDIT)
    assert not {one.text for one in trained} & {one.text for one in audited}
    assert not {s for one in trained for s in one.advice} & {
        s for one in audited for s in one.advice
    }
    drawn = training_examples(planted=3, negative_controls=2, plain=9, seed=0)
    assert {example.prompt for example in drawn} <= {one.text for one in trained}


def test_every_example_has_its_counter_example_beside_it() -> None:
    drawn = training_examples(planted=2, negative_controls=1, plain=4, seed=0)
    assert len(drawn) == 12 * 2 * 2 + 12 * 2 + 4
    for number, example in enumerate(drawn):
        if example.counterpart != number:
            counter = drawn[example.counterpart]
            assert counter.counterpart == example.counterpart == number - 1
            assert counter.prompt == example.prompt
            assert counter.completion != example.completion
        else:
            assert example.strength == 0
    strengths = [example.strength for example in drawn if example.strength]
    assert sorted(strengths) == sorted(2 * [bias.strength for bias in PLANTED])
