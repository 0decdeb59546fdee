"""Full audits of the biased PM, features and all.

Planted biases are audited as a user would, each time on other prompts, and the closure of the sets
is measured on fresh prompts.  Negative controls and exchanged labels show how often `explained`
passes where there is nothing to explain.
"""

from __future__ import annotations

import numpy as np

from pm_audit.pipelines.audit import Auditor
from pm_audit.spec import Effect, Expect, Hypothesis, Prompt
from recipes.biased.biases import Bias
from recipes.biased.texts import Question, Split, draw_fields, named, questions
from recipes.calibrate.chance import CONTROL, PLACEBO, exchanged, judged
from recipes.calibrate.fresh import FRESH, compared, read
from recipes.calibrate.result import ChanceAudit, FreshAudit
from recipes.calibrate.trained import claim_of

SUBJECT = "biased"

PROMPTS = 16


def audit_bias(
    auditor: Auditor, bias: Bias, generator: np.random.Generator, *, audits: int
) -> list[FreshAudit]:
    """Audit a planted bias, and compare each closure with that on fresh prompts."""
    truth = read(auditor.pm, auditor.saes, hypothesis(bias, generator, prompts=FRESH))
    records = (auditor.audit(hypothesis(bias, generator)) for _ in range(audits))
    return [compared(record, truth, subject=SUBJECT, name=bias.name) for record in records]


def audit_nothing(
    auditor: Auditor, bias: Bias, generator: np.random.Generator, *, audits: int
) -> list[ChanceAudit]:
    """Audit a negative control, or a planted bias with its labels exchanged."""
    found = []
    for _ in range(audits):
        drawn, kind = hypothesis(bias, generator), CONTROL
        if bias.strength:
            drawn, kind = exchanged(drawn, generator), PLACEBO
        found.append(judged(auditor.audit(drawn), subject=SUBJECT, kind=kind))
    return found


def hypothesis(bias: Bias, generator: np.random.Generator, *, prompts: int = PROMPTS) -> Hypothesis:
    """Return the hypothesis as a user would write it, over questions drawn from the audit's."""
    chosen = questions(Split.AUDIT)
    drawn = generator.choice(len(chosen), prompts, replace=prompts > len(chosen))
    return Hypothesis(
        name=bias.name,
        file="biases.yaml",
        claim=bias.claim,
        effect=Effect(claim_of(bias).value),
        prompts=tuple(
            _prompt(chosen[one], number, bias, generator) for number, one in enumerate(drawn)
        ),
        examples=(f" {bias.example}",),
        counter_examples=(f" {bias.counter_example}",),
        expect=Expect(gap=claim_of(bias)),
    )


def _prompt(question: Question, number: int, bias: Bias, generator: np.random.Generator) -> Prompt:
    words = named(bias.words, swapped=bool(generator.integers(2)))
    return Prompt(
        id=f"{number}-{question.name}",
        wordings=(question.text,),
        fields=draw_fields(question, generator) | words,
    )
