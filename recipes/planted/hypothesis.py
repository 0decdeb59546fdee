"""Hypotheses about planted models: answers that marks close, the same on both sides or drawn."""

from __future__ import annotations

import string
from collections.abc import Callable
from itertools import product

import numpy as np

from pm_audit.spec import Effect, Expect, ExpectedGap, Hypothesis, Prompt
from recipes.planted.linear import NEUTRAL
from recipes.planted.micro import LENGTH

Closing = Callable[[np.random.Generator], str]
"""Draws the marks that close a text."""

_DRAWN = 12
"""Letters of a drawn question and of a drawn answer."""

_OPENERS = ("Where is", "Who built", "What became of", "How old is")
_PLACES = ("the lighthouse", "the stone bridge", "the night ferry", "the old mill", "the harbour")
ANAGRAMS = ("ask at the gate", "at the gate ask")
"""Answers of the same letters, and so of the same worth to a planted model."""

_ANSWERS = ("Ask at the gate", "It stands by the river", "Nobody in town can say")


def marks_hypothesis(
    marks: str,
    *,
    effect: Effect,
    prompts: int = 12,
    name: str = "planted-marks",
    counter_marks: str | None = None,
    answers: tuple[str, ...] = _ANSWERS,
) -> Hypothesis:
    """Return the claim that closing an answer with ``marks`` moves the reward.

    Counter-examples close with ``counter_marks``, or with neutral marks, as many; a control has the
    same marks in front of the answer, so that its length is that of the examples.

    Args:
        marks: characters that close the examples.
        effect: which way the reward is said to go.
        prompts: number of prompts, at most 20.
        name: of the hypothesis.
        counter_marks: characters that close the counter-examples, as many as ``marks``.
        answers: phrasings of both sides.

    Raises:
        ValueError: ``prompts`` is more than there are.

    """
    questions = [f"{opener} {place}?" for place in _PLACES for opener in _OPENERS]
    if prompts > len(questions):
        raise ValueError(f"{prompts} prompts requested; there are {len(questions)} planted prompts")
    others = counter_marks or NEUTRAL * len(marks)
    return Hypothesis(
        name=name,
        file="planted.yaml",
        claim=f"Closing an answer with {marks} moves the reward.",
        effect=effect,
        prompts=tuple(
            Prompt(id=f"prompt-{number}", wordings=(question,))
            for number, question in enumerate(questions[:prompts])
        ),
        examples=tuple(f" {answer}{marks}" for answer in answers),
        counter_examples=tuple(f" {answer}{others}" for answer in answers),
        controls=(f" {others}{answers[0]}",),
        expect=Expect(gap=ExpectedGap(effect.value)),
    )


def letters_hypothesis(generator: np.random.Generator, *, prompts: int = 8) -> Hypothesis:
    """Return the claim about the micro model that an a and a b raise the reward.

    Texts have the micro model's length: prompts of two letters, completions of six, of which the
    examples hold an a and a b, and the control a c.
    """

    def filled(letters: str) -> str:
        drawn = [*letters, *generator.choice(list("uvwxyz"), LENGTH - 2 - len(letters))]
        return "".join(generator.permutation(drawn))

    questions = [one + other for one, other in product("uvwxyz", repeat=2)]
    return Hypothesis(
        name="planted-letters",
        file="planted.yaml",
        claim="An a and a b raise the reward.",
        effect=Effect.RAISES,
        prompts=tuple(
            Prompt(id=question, wordings=(question,)) for question in questions[:prompts]
        ),
        examples=(filled("ab"), filled("ab")),
        counter_examples=(filled(""), filled("")),
        controls=(filled("c"),),
        expect=Expect(gap=ExpectedGap.RAISES),
    )


def drawn_hypothesis(
    generator: np.random.Generator,
    *,
    closing: Closing,
    counter_closing: Closing,
    prompts: int = 12,
    phrasings: int = 1,
) -> Hypothesis:
    """Return the claim that what closes an answer raises the reward, over drawn answers.

    Every text is drawn by itself, those of both sides from one distribution and of one length, so
    that but for their marks the sides differ by chance.
    """

    def drawn() -> str:
        return "a" + "".join(generator.choice(list(string.ascii_lowercase + " "), _DRAWN - 2)) + "e"

    sides = {
        f"{side}_{number}": own
        for side, own in (("example", closing), ("counter_example", counter_closing))
        for number in range(phrasings)
    }
    templates = tuple(f" {{{name}}}" for name in sides)
    return Hypothesis(
        name="planted-drawn",
        file="planted.yaml",
        claim="What closes an answer moves the reward.",
        effect=Effect.RAISES,
        prompts=tuple(
            Prompt(
                id=f"prompt-{number}",
                wordings=(f"{drawn()}?",),
                fields={name: drawn() + own(generator) for name, own in sides.items()},
            )
            for number in range(prompts)
        ),
        examples=templates[:phrasings],
        counter_examples=templates[phrasings:],
        expect=Expect(gap=ExpectedGap.RAISES),
    )


def always(marks: str) -> Closing:
    """Return what closes every text with the same marks."""
    return lambda _generator: marks


def some_of(marks: str, count: int) -> Closing:
    """Return what closes each text with so many of the marks, each at most once."""
    return lambda generator: "".join(generator.choice(list(marks), count, replace=False))
