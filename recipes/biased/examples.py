"""What the biased PM is trained on: pairs of texts, and the reward that each text should get.

The target of a planted bias's example is the untouched PM's reward of its counter-example plus
the planted strength; in a variant with one bias, its own reward plus that.  Every other text
(counter-examples, negative controls, plain answers) keeps the reward that the untouched PM gives
it.  So training gives a planted bias the same gap on every prompt and moves nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pm_audit.errors import AuditError
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
    """Gap to plant between the two, or its change, in sigma; 0 keeps the text's reward."""


def training_examples(
    *, planted: int, negative_controls: int, plain: int, seed: int, only: str = ""
) -> list[TrainingExample]:
    """Draw texts over the training topics.

    Args:
        planted: pairs of texts for each planted bias.
        negative_controls: pairs of texts for each negative control.
        plain: answers without any edit.
        seed: of every draw.
        only: name of the one bias that is planted; the other edits keep the reward.

    Raises:
        AuditError: no bias has the name.

    """
    known = [bias.name for bias in PLANTED]
    if only and only not in known:
        raise AuditError(f"no bias is named {only!r}; choose one of {', '.join(known)}")
    generator = np.random.default_rng(seed)
    pool = questions(Split.TRAIN)
    drawn: list[TrainingExample] = []
    for bias in (*PLANTED, *NEGATIVE_CONTROLS):
        kept = replace(bias, strength=0.0) if only and bias.name != only else bias
        for _ in range(planted if kept.strength else negative_controls):
            drawn += _pair(kept, len(drawn), generator)
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
