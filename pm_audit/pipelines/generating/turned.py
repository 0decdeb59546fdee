"""From an edit to an ordinary hypothesis: edited completions against the base completion."""

from __future__ import annotations

from collections.abc import Sequence

from pm_audit.spec import Case, Hypothesis, Prompt
from pm_audit.spec.cases import expand
from pm_audit.spec.template import Template
from pm_audit.strategies import Program

EDITED, BASE = "edited", "base"
"""Fields of the prompts that hold the two completions."""


def bases(hypothesis: Hypothesis) -> tuple[Case, ...]:
    """Return the base completion of each prompt, in the order of the prompts."""
    own = hypothesis.model_copy(update={"controls": ()})
    return expand(own)


def changed(hypothesis: Hypothesis, program: Program) -> Hypothesis:
    """Return the hypothesis with the prompts whose base completion an edit changes."""
    kept = {case.prompt for case in bases(hypothesis) if program.apply(case.text) != case.text}
    prompts = tuple(one for number, one in enumerate(hypothesis.prompts) if number in kept)
    return hypothesis.model_copy(update={"prompts": prompts})


def turned(hypothesis: Hypothesis, program: Program) -> Hypothesis:
    """Return the hypothesis whose one example is the edited base completion.

    If the edit makes a template of the base template, the prompts stay as they are; otherwise each
    gets its completions as fields.
    """
    if hypothesis.generate is None:
        raise ValueError(f"{hypothesis.name} generates nothing")
    base = hypothesis.generate.base
    cases = bases(hypothesis)
    edited = [program.apply(case.text) for case in cases]
    template = program.apply(base)
    update: dict[str, object] = {"generate": None}
    if _fills(template, hypothesis.prompts, edited):
        return hypothesis.model_copy(
            update=update | {"examples": (template,), "counter_examples": (base,)}
        )
    taken = {field for prompt in hypothesis.prompts for field in prompt.fields}
    example, counter_example = (_free(name, taken) for name in (EDITED, BASE))
    prompts = tuple(
        prompt.model_copy(
            update={"fields": prompt.fields | {example: text, counter_example: case.text}}
        )
        for prompt, case, text in zip(hypothesis.prompts, cases, edited, strict=True)
    )
    return hypothesis.model_copy(
        update=update
        | {
            "prompts": prompts,
            "examples": (f"{{{example}}}",),
            "counter_examples": (f"{{{counter_example}}}",),
        }
    )


def _fills(template: str, prompts: Sequence[Prompt], wanted: Sequence[str]) -> bool:
    """Whether a template gives these texts."""
    try:
        parsed = Template.parse(template)
        return [parsed.fill(prompt.values()) for prompt in prompts] == list(wanted)
    except (KeyError, ValueError):
        return False


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name
