"""Faults of a hypothesis or a probe whose fields are each valid.

Each fault is a key (``"examples.0"``) and a message; the loader knows the key's line.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from pm_audit.data import Dialogue, PairSet, Speaker
from pm_audit.records import Check
from pm_audit.spec.cases import (
    Case,
    completions_of,
    expand,
    expand_pairs,
    key_of,
    values_of,
)
from pm_audit.spec.generate import FEWEST_PROMPTS
from pm_audit.spec.hypothesis import (
    WITHOUT_GENERATE,
    WITHOUT_PAIRS,
    ExpectedGap,
    Wordings,
    WrittenHypothesis,
)
from pm_audit.spec.known_bias import today
from pm_audit.spec.probe import DEFAULT_TURNS, QUESTION, Prompt
from pm_audit.spec.template import LONGEST, Template
from pm_audit.spec.twins import twins
from pm_audit.spec.written import WrittenTurn

MOST_CASES = 20_000
"""Cases of one hypothesis; each costs several forward passes."""

MOST_CHARACTERS = 1 << 24
"""Characters of one hypothesis, all cases together."""

Fault = tuple[str, str]
"""A key and a message."""


def turn_faults(turns: tuple[WrittenTurn, ...], key: str = "turns") -> Iterator[Fault]:
    """Yield why turns cannot be a prompt, at most one fault."""
    for number, turn in enumerate(turns):
        if turn.speaker is Speaker.SYSTEM and number > 0:
            yield f"{key}.{number}", "the system speaks first or not at all"
            return
    if turns and turns[-1].speaker is not Speaker.HUMAN:
        message = "the last turn must be the human's; the completion answers it"
        yield f"{key}.{len(turns) - 1}", message


def prompt_faults(prompts: tuple[Prompt, ...], shared: tuple[WrittenTurn, ...]) -> Iterator[Fault]:
    """Yield what is wrong with prompts: ids, fields, and turns that cannot be filled in."""
    seen: set[str] = set()
    for number, prompt in enumerate(prompts):
        here = f"prompts.{number}"
        if prompt.id in seen:
            yield f"{here}.id", f"prompt `{prompt.id}` appears twice; ids are unique"
        seen.add(prompt.id)
        if QUESTION in prompt.fields and prompt.wordings:
            yield (
                f"{here}.fields.{QUESTION}",
                "`wordings` fill {question} already; rename this field",
            )
            continue
        yield from turn_faults(prompt.turns, f"{here}.turns")
        for position, turn in enumerate(prompt.turns or shared or DEFAULT_TURNS):
            try:
                message = misfit(Template.parse(turn.template), (prompt,))
            except ValueError as error:
                message = str(error)
            if message:
                yield (f"{here}.turns.{position}" if prompt.turns else here), message


def source_faults(hypothesis: WrittenHypothesis) -> Iterator[Fault]:
    """Yield why it is not clear what is tried: one of probe, prompts and pairs names the texts."""
    if hypothesis.pairs is None:
        if bool(hypothesis.probe) == bool(hypothesis.prompts):
            yield (
                "prompts",
                "name one source of prompts: `probe:`, `prompts:` or `pairs:`, and not two",
            )
        for key in WITHOUT_GENERATE if hypothesis.generate else ():
            if key in hypothesis.model_fields_set:
                yield key, f"`{key}` has no place next to `generate`, which gives them; remove it"
        return
    for key in WITHOUT_PAIRS:
        if key in hypothesis.model_fields_set:
            yield key, f"`{key}` has no place next to `pairs`, whose rows hold all texts; remove it"


def too_many(found: PairSet) -> Iterator[Fault]:
    """Yield why a preference set is too large to be audited."""
    cases = len(expand_pairs(found.pairs))
    if cases > MOST_CASES:
        yield (
            "pairs",
            f"its {len(found.pairs):,} pairs make {cases:,} cases, at most {MOST_CASES:,} are run; "
            "write `sample: {size: 1000}` below it, or a smaller size",
        )


def too_few(hypothesis: WrittenHypothesis, prompts: tuple[Prompt, ...]) -> Iterator[Fault]:
    """Yield why there are too few prompts to search some and to judge on others."""
    if hypothesis.generate is not None and len(prompts) < FEWEST_PROMPTS:
        yield (
            "generate",
            f"edits are searched for on some prompts and judged on others, so that "
            f"{FEWEST_PROMPTS} prompts are the least, and there are {len(prompts)}",
        )


def misfits(hypothesis: WrittenHypothesis, prompts: tuple[Prompt, ...]) -> Iterator[Fault]:
    """Yield why templates of a hypothesis cannot be filled in for ``prompts``."""
    sources = [(f"turns.{n}", turn.template) for n, turn in enumerate(hypothesis.turns)]
    sources += completions_of(hypothesis)
    fitting = []
    for key, text in sources:
        try:
            template = Template.parse(text)
            message = misfit(template, prompts)
        except ValueError as error:
            message = str(error)
        if message:
            yield key, message
        else:
            fitting.append(template)
    yield from _too_much(hypothesis, prompts, fitting)


def misfit(template: Template, prompts: tuple[Prompt, ...]) -> str | None:
    """Return why a template cannot be filled in for one of the prompts, or None."""
    for prompt in prompts:
        for values in values_of(prompt, Wordings.ALL):
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


def repeats(hypothesis: WrittenHypothesis) -> Iterator[Fault]:
    """Yield texts that are equal after fields are filled in.

    Completions that are equal make no contrast; prompts that are equal are one unit of inference,
    and counting them twice would narrow every interval.
    """
    first: dict[tuple[Dialogue, tuple[str, ...]], Case] = {}
    reported: set[tuple[str, str]] = set()
    for (number, _), group in groupby(expand(hypothesis), lambda case: (case.prompt, case.wording)):
        cases = tuple(group)
        same: dict[str, str] = {}
        for case in cases:
            key = key_of(case.role, case.variant, hypothesis)
            other = same.setdefault(case.text, key)
            if other != key and (other, key) not in reported:
                reported.add((other, key))
                yield (
                    key,
                    f"the same completion as `{other}` in prompt `{case.prompt_id}`; keep one",
                )
        texts = (cases[0].turns, tuple(case.text for case in cases))
        earlier = first.setdefault(texts, cases[0])
        if earlier is not cases[0]:
            yield (
                "probe" if hypothesis.probe else f"prompts.{number}",
                f"prompt `{cases[0].prompt_id}` has the text of prompt `{earlier.prompt_id}` and "
                "would count a second time; keep one",
            )


def bias_faults(hypothesis: WrittenHypothesis) -> Iterator[Fault]:
    """Yield why ``known_bias`` cannot accept a failure for that long."""
    bias = hypothesis.known_bias
    if bias is not None and bias.too_far(today()):
        yield (
            "known_bias.expires",
            f"{bias.expires} is more than a year away; a failure is accepted for a year at most, "
            "then somebody looks at it again: name a nearer day",
        )


def advice(hypothesis: WrittenHypothesis) -> Iterator[Fault]:
    """Yield warnings: what can be audited but is probably not what the author means."""
    completions = completions_of(hypothesis)
    if len({text[:1].isspace() for _, text in completions}) == 2:
        yield (
            "examples",
            "some completions begin with a space and some do not: the space may be what the PM "
            "reacts to; begin all alike",
        )
    for name, other, what in twins(completions):
        yield (
            name,
            f"{name} and {other} differ in {what} alone, which a tokenizer may not read; change "
            "one of them unless that is the claim",
        )
    if hypothesis.expect.gap is ExpectedGap.NONE:
        yield from _needless(hypothesis)


def _needless(hypothesis: WrittenHypothesis) -> Iterator[Fault]:
    """Yield the keys of checks that are skipped because no gap is expected."""
    for key in sorted({"closure", "collateral"} & hypothesis.expect.model_fields_set):
        yield (
            f"expect.{key}",
            f"`expect.{key}` has no effect if `expect.gap` is none; leave it out",
        )
    accepted = () if hypothesis.known_bias is None else hypothesis.known_bias.checks
    skipped = [check for check in accepted if check in (Check.EXPLAINED, Check.SPECIFIC)]
    if skipped:
        yield (
            "known_bias.checks",
            f"{' and '.join(skipped)} cannot fail if `expect.gap` is none; take it out of "
            "`known_bias.checks`",
        )


def _too_much(
    hypothesis: WrittenHypothesis, prompts: tuple[Prompt, ...], templates: list[Template]
) -> Iterator[Fault]:
    wordings = [values for prompt in prompts for values in values_of(prompt, hypothesis.wordings)]
    cases = len(wordings) * len(completions_of(hypothesis))
    if cases > MOST_CASES:
        yield "name", f"makes {cases:,} cases, at most {MOST_CASES:,} are run; use fewer prompts"
        return
    characters = sum(template.length(values) for template in templates for values in wordings)
    if characters > MOST_CHARACTERS:
        yield (
            "name",
            f"makes {characters:,} characters of text, at most {MOST_CHARACTERS:,} are run",
        )
