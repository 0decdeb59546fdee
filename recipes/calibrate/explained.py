"""Full audits of the biased PM, features and all.

Planted biases are audited as a user would, each time on other prompts, and the closure of the sets
is measured on fresh prompts.  Negative controls and exchanged labels show how often `explained`
passes where there is nothing to explain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

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


def audit_explained(
    auditor: Auditor,
    biases: Sequence[Bias],
    *,
    audits: int,
    seed: int,
    report: Callable[[str], None],
) -> Iterator[FreshAudit | ChanceAudit]:
    """Yield full audits of the biased PM: of each bias, and with its labels exchanged.

    Args:
        auditor: holds the biased PM and its SAE.
        biases: planted ones and negative controls.
        audits: of each hypothesis.
        seed: of all that is drawn.
        report: receives progress.

    """
    for number, bias in enumerate(biases):
        report(f"{bias.name}: {number + 1} of {len(biases)} biases explained")
        generator = np.random.default_rng((seed, number))
        drawn = [hypothesis(bias, generator) for _ in range(audits)]
        if bias.words is not None:
            for one in drawn:
                yield judged(auditor.audit(one), subject=SUBJECT, kind=CONTROL)
            continue
        truth = read(auditor.pm, auditor.saes, hypothesis(bias, generator, prompts=FRESH))
        for one in drawn:
            yield compared(auditor.audit(one), truth, subject=SUBJECT, name=bias.name)
            placebo = auditor.audit(exchanged(one, generator))
            yield judged(placebo, subject=SUBJECT, kind=PLACEBO)


def hypothesis(
    bias: Bias, generator: np.random.Generator, *, prompts: int = PROMPTS
) -> Hypothesis:
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
