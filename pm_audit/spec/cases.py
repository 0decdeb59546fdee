"""From a hypothesis to its cases: every prompt with every completion, fields filled in.

A case is one text that the preference model scores.  Cases of one prompt share its number, also
under different wordings: the prompt is the unit of inference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pm_audit.data import Dialogue, Pair, Turn
from pm_audit.data.sampling import rank
from pm_audit.records import Record, Role
from pm_audit.spec.hypothesis import Hypothesis, Wordings, WrittenHypothesis
from pm_audit.spec.probe import DEFAULT_TURNS, Prompt
from pm_audit.spec.template import Template
from pm_audit.spec.written import WrittenTurn


class Case(Record):
    """One completion of one prompt, ready to be scored."""

    prompt: int
    """Index of the prompt in its hypothesis: the unit of inference."""
    prompt_id: str
    turns: Dialogue
    role: Role
    variant: int
    """Index of the completion template within its role."""
    wording: int
    """Index of the wording within its prompt."""
    text: str
    """The completion, verbatim."""


def expand(hypothesis: WrittenHypothesis) -> tuple[Case, ...]:
    """Return the cases of a hypothesis: by prompt, then wording, then role and variant.

    If edits are generated, the counter-example is what they edit, and there are no examples.

    Raises:
        KeyError, ValueError: a template does not fit its prompts; loading refuses that.

    """
    completions = [
        (role, variant, Template.parse(text))
        for role in Role
        for variant, text in enumerate(_templates(hypothesis, role))
    ]
    return tuple(
        Case(
            prompt=number,
            prompt_id=prompt.id,
            turns=turns,
            role=role,
            variant=variant,
            wording=wording,
            text=completion.fill(values),
        )
        for number, prompt in enumerate(hypothesis.prompts)
        for wording, values in enumerate(values_of(prompt, hypothesis.wordings))
        for turns in [_dialogue(prompt.turns or DEFAULT_TURNS, values)]
        for role, variant, completion in completions
    )


def expand_pairs(pairs: Sequence[Pair]) -> tuple[Case, ...]:
    """Return the cases of a preference set: verbatim, by prompt, then role.

    Pairs of one dialogue are one prompt, called as the first of them is, and a completion counts
    once for its side.  No two completions share a template, so there is one variant of each role.
    """
    sides: dict[Dialogue, tuple[str, dict[Role, dict[str, None]]]] = {}
    for pair in pairs:
        _, texts = sides.setdefault(
            pair.turns, (pair.id, {Role.EXAMPLE: {}, Role.COUNTER_EXAMPLE: {}})
        )
        texts[Role.EXAMPLE].update(dict.fromkeys(pair.examples))
        texts[Role.COUNTER_EXAMPLE].update(dict.fromkeys(pair.counter_examples))
    return tuple(
        Case(
            prompt=number,
            prompt_id=name,
            turns=turns,
            role=role,
            variant=0,
            wording=0,
            text=text,
        )
        for number, (turns, (name, texts)) in enumerate(sides.items())
        for role, of_role in texts.items()
        for text in of_role
    )


def draw_prompts(hypothesis: Hypothesis, *, most: int | None, seed: int) -> Hypothesis:
    """Return the hypothesis with a sample of its prompts, in their order; None takes them all.

    A prompt is drawn by a hash of the seed and its id, so that prompts of other ids can be added or
    moved without another sample of the rest.
    """
    ranked = sorted(hypothesis.prompts, key=lambda prompt: rank(seed, prompt.id))
    drawn = {prompt.id for prompt in ranked[:most]}
    prompts = tuple(prompt for prompt in hypothesis.prompts if prompt.id in drawn)
    return hypothesis.model_copy(update={"prompts": prompts})


def completions_of(hypothesis: WrittenHypothesis) -> list[tuple[str, str]]:
    """Return the key of each completion template, ``"examples.0"``, and the template."""
    return [
        (key_of(role, variant, hypothesis), text)
        for role in Role
        for variant, text in enumerate(_templates(hypothesis, role))
    ]


def key_of(role: Role, variant: int, hypothesis: WrittenHypothesis) -> str:
    """Return the key of a completion template: ``"counter_examples.1"``."""
    generated = hypothesis.generate is not None and role is Role.COUNTER_EXAMPLE
    return "generate.base" if generated else f"{role}s.{variant}"


def values_of(prompt: Prompt, wordings: Wordings) -> list[dict[str, str]]:
    """Return what placeholders stand for under each wording that is tried."""
    count = max(1, len(prompt.wordings)) if wordings is Wordings.ALL else 1
    return [prompt.values(wording) for wording in range(count)]


def _templates(hypothesis: WrittenHypothesis, role: Role) -> tuple[str, ...]:
    if hypothesis.generate is not None and role is Role.COUNTER_EXAMPLE:
        return (hypothesis.generate.base,)
    texts: tuple[str, ...] = getattr(hypothesis, f"{role}s")
    return texts


def _dialogue(turns: tuple[WrittenTurn, ...], values: Mapping[str, str]) -> Dialogue:
    return tuple(
        Turn(speaker=turn.speaker, text=Template.parse(turn.template).fill(values))
        for turn in turns
    )
