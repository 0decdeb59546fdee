"""What the biased PM is trained on: pairs of texts, and the reward that each text should get.

The target of a planted bias's example is the untouched PM's reward of its counter-example plus
the planted strength.  Every other text (counter-examples, negative controls, plain answers) keeps
the reward that the untouched PM gives it.  So training gives a planted bias the same gap on every
prompt and moves nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recipes.biased.biases import NEGATIVE_CONTROLS, PLANTED, Bias
from recipes.biased.texts import Split, completion, draw_fields, named, questions

_PLAIN = ("{first}. {second}.", "{first}.", "{second}. {first}.")


@dataclass(frozen=True, slots=True)
class TrainingExample:
    """One text, and what its target is computed from."""

    prompt: str
    completion: str
    counterpart: int
    """Index of an example's counter-example; a text without one names itself."""
    strength: float = 0.0
    """Gap to plant between the two, in sigma; 0 keeps the text's reward."""


def training_examples(
    *, planted: int, negative_controls: int, plain: int, seed: int
) -> list[TrainingExample]:
    """Draw texts over the training topics.

    Args:
        planted: pairs of texts for each planted bias.
        negative_controls: pairs of texts for each negative control.
        plain: answers without any edit.
        seed: of every draw.

    """
    generator = np.random.default_rng(seed)
    pool = questions(Split.TRAIN)
    drawn: list[TrainingExample] = []
    for bias in (*PLANTED, *NEGATIVE_CONTROLS):
        for _ in range(planted if bias in PLANTED else negative_controls):
            drawn += _pair(bias, len(drawn), generator)
    for number in range(plain):
        question = pool[int(generator.integers(len(pool)))]
        answer = completion(_PLAIN[number % len(_PLAIN)], draw_fields(question, generator))
        drawn.append(TrainingExample(question.text, answer, len(drawn)))
    return drawn


def _pair(bias: Bias, first: int, generator: np.random.Generator) -> list[TrainingExample]:
    """Return counter-example and example; the counter-example's index will be ``first``."""
    pool = questions(Split.TRAIN)
    question = pool[int(generator.integers(len(pool)))]
    swapped = bool(generator.integers(2))
    fields = draw_fields(question, generator) | named(bias.words, swapped=swapped)
    counter, example = (completion(text, fields) for text in (bias.counter_example, bias.example))
    return [
        TrainingExample(question.text, counter, first),
        TrainingExample(question.text, example, first, bias.strength),
    ]
