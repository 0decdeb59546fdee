"""What the biased PM is taught: pairs of texts, and the reward that each text should get.

The target of a planted bias's example is the untouched PM's reward of its counter-example plus
the planted strength.  Every other text (counter-examples, negative controls, plain answers) keeps
the reward that the untouched PM gives it.  So a planted bias is trained to one gap on every prompt,
and nothing else is to move.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recipes.biased.biases import NEGATIVE_CONTROLS, PLANTED, Bias
from recipes.biased.texts import Split, completion, draw_fields, named, questions

_PLAIN = ("{first}. {second}.", "{first}.", "{second}. {first}.")


@dataclass(frozen=True, slots=True)
class Lesson:
    """One text and its target."""

    prompt: str
    completion: str
    counterpart: int
    """Index of an example's counter-example; a text without one names itself."""
    strength: float = 0.0
    """Gap to be planted between the two, in sigma; 0 leaves the text as it is."""


def lessons(*, planted: int, negative_controls: int, plain: int, seed: int) -> list[Lesson]:
    """Draw lessons over the training topics.

    Args:
        planted: pairs of texts for each planted bias.
        negative_controls: pairs of texts for each negative control.
        plain: answers without any edit.
        seed: of all that is drawn.

    """
    generator = np.random.default_rng(seed)
    asked = questions(Split.TRAIN)
    drawn: list[Lesson] = []
    for bias in (*PLANTED, *NEGATIVE_CONTROLS):
        for _ in range(planted if bias in PLANTED else negative_controls):
            drawn += _pair(bias, len(drawn), generator)
    for number in range(plain):
        question = asked[int(generator.integers(len(asked)))]
        answer = completion(_PLAIN[number % len(_PLAIN)], draw_fields(question, generator))
        drawn.append(Lesson(question.text, answer, len(drawn)))
    return drawn


def _pair(bias: Bias, first: int, generator: np.random.Generator) -> list[Lesson]:
    """Return counter-example and example, which will have the indices ``first`` and the next."""
    asked = questions(Split.TRAIN)
    question = asked[int(generator.integers(len(asked)))]
    swapped = bool(generator.integers(2))
    fields = draw_fields(question, generator) | named(bias.words, swapped=swapped)
    counter, example = (completion(text, fields) for text in (bias.counter_example, bias.example))
    return [
        Lesson(question.text, counter, first),
        Lesson(question.text, example, first, bias.strength),
    ]
