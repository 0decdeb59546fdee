"""From a hypothesis to its cases: every prompt with every completion, fields filled in.

A case is one text that the preference model scores.  Cases of one prompt share its number, also
under different wordings: the prompt is the unit of inference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby

from pm_audit.records import Record, Role
from pm_audit.spec.dialogue import Dialogue, Speaker, Turn
from pm_audit.spec.hypothesis import Wordings, WrittenHypothesis
from pm_audit.spec.probe import DEFAULT_TURNS, Prompt
from pm_audit.spec.template import LONGEST, Template
from pm_audit.spec.written import WrittenTurn

MOST_CASES = 20_000
"""Cases of one hypothesis; each is a forward pass many times over."""

MOST_CHARACTERS = 1 << 24
"""Characters of one hypothesis, all cases together."""

_KEYS = {
    Role.EXAMPLE: "examples",
    Role.COUNTER_EXAMPLE: "counter_examples",
    Role.CONTROL: "controls",
}


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
    """The completion, to the letter."""


def expand(hypothesis: WrittenHypothesis) -> tuple[Case, ...]:
    """Return the cases of a hypothesis: by prompt, then wording, then role and variant.

    Raises:
        KeyError, ValueError: a template does not fit its prompts; loading has seen to that.

    """
    completions = [
        (role, variant, Template.parse(text))
        for role, texts in completions_of(hypothesis).items()
        for variant, text in enumerate(texts)
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
        for wording, values in enumerate(_values(prompt, hypothesis.wordings))
        for turns in [_dialogue(prompt.turns or DEFAULT_TURNS, values)]
        for role, variant, completion in completions
    )


def completions_of(hypothesis: WrittenHypothesis) -> dict[Role, tuple[str, ...]]:
    """Return the completion templates of each role."""
    return {role: getattr(hypothesis, key) for role, key in _KEYS.items()}


def misfits(
    hypothesis: WrittenHypothesis, prompts: tuple[Prompt, ...]
) -> Iterator[tuple[str, str]]:
    """Yield what keeps a hypothesis from expanding over ``prompts``: a key and a message."""
    templates: list[tuple[str, Template]] = []
    sources = [(f"turns.{n}", turn.template) for n, turn in enumerate(hypothesis.turns)]
    for role, texts in completions_of(hypothesis).items():
        sources += [(f"{_KEYS[role]}.{n}", text) for n, text in enumerate(texts)]
    for key, text in sources:
        try:
            templates.append((key, Template.parse(text)))
        except ValueError as error:
            yield key, str(error)
    fitting = []
    for key, template in templates:
        message = misfit(template, prompts)
        if message:
            yield key, message
        else:
            fitting.append(template)
    yield from _too_much(hypothesis, prompts, fitting)


def repeats(hypothesis: WrittenHypothesis) -> Iterator[tuple[str, str]]:
    """Yield what counts one text twice once fields are filled in: a key and a message.

    A completion that equals another is no contrast; a prompt that equals another is no second
    unit of inference, and would narrow every interval.
    """
    first: dict[tuple[Dialogue, tuple[str, ...]], Case] = {}
    told: set[tuple[str, str]] = set()
    for (number, _), group in groupby(expand(hypothesis), lambda case: (case.prompt, case.wording)):
        cases = tuple(group)
        key_of: dict[str, str] = {}
        for case in cases:
            key = f"{_KEYS[case.role]}.{case.variant}"
            other = key_of.setdefault(case.text, key)
            if other != key and (other, key) not in told:
                told.add((other, key))
                yield (
                    key,
                    f"the same completion as `{other}` in prompt `{case.prompt_id}`; keep one",
                )
        texts = (cases[0].turns, tuple(case.text for case in cases))
        earlier = first.setdefault(texts, cases[0])
        if earlier is not cases[0]:
            where = "probe" if hypothesis.probe else f"prompts.{number}"
            yield (
                where,
                f"prompt `{cases[0].prompt_id}` reads as prompt `{earlier.prompt_id}` does, to the "
                "letter, and would count again; keep one",
            )


def misfit(template: Template, prompts: tuple[Prompt, ...]) -> str | None:
    """Say why a template cannot be filled in for one of the prompts, or None."""
    for prompt in prompts:
        for values in _values(prompt, Wordings.ALL):
            unknown = [field for field in template.fields if field not in values]
            if unknown:
                known = ", ".join(f"{{{field}}}" for field in sorted(values)) or "no field at all"
                return (
                    f"placeholder {{{unknown[0]}}} has no field in prompt `{prompt.id}`, "
                    f"which has {known}"
                )
            if template.length(values) > LONGEST:
                return f"grows longer than {LONGEST:,} characters in prompt `{prompt.id}`"
    return None


def turns_misfit(turns: tuple[WrittenTurn, ...]) -> tuple[int, str] | None:
    """Say why turns make no prompt: the index of the turn and a message, or None."""
    for number, turn in enumerate(turns):
        if turn.speaker is Speaker.SYSTEM and number > 0:
            return number, "the system speaks first or not at all"
    if turns and turns[-1].speaker is not Speaker.HUMAN:
        return len(turns) - 1, "the last turn must be the human's; the completion answers it"
    return None


def _too_much(
    hypothesis: WrittenHypothesis, prompts: tuple[Prompt, ...], templates: list[Template]
) -> Iterator[tuple[str, str]]:
    wordings = [values for prompt in prompts for values in _values(prompt, hypothesis.wordings)]
    completions = sum(len(texts) for texts in completions_of(hypothesis).values())
    cases = len(wordings) * completions
    if cases > MOST_CASES:
        yield "name", f"makes {cases:,} cases, at most {MOST_CASES:,} are run; use fewer prompts"
        return
    characters = sum(template.length(values) for template in templates for values in wordings)
    if characters > MOST_CHARACTERS:
        yield (
            "name",
            f"makes {characters:,} characters of text, at most {MOST_CHARACTERS:,} are run",
        )


def _values(prompt: Prompt, wordings: Wordings) -> list[dict[str, str]]:
    count = max(1, len(prompt.wordings)) if wordings is Wordings.ALL else 1
    return [prompt.values(wording) for wording in range(count)]


def _dialogue(turns: tuple[WrittenTurn, ...], values: Mapping[str, str]) -> Dialogue:
    return tuple(
        Turn(speaker=turn.speaker, text=Template.parse(turn.template).fill(values))
        for turn in turns
    )
