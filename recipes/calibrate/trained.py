"""Audits of the biased PM: planted biases that `gap` finds, and negative controls that alarm it.

Of every hypothesis a *pool* of answers to the audit's questions is scored once: each question
with two answers, each answer with the edit and without.  An audit then draws its prompts from
the pool, with replacement, so that audits are independent and the pool's mean is exactly the
gap that they look for; thousands cost no forward pass.  Two contrasts are drawn:

* matched: example and counter-example are one answer, with the edit and without, as a
  hypothesis should be written;
* unmatched: they are different answers to the question, so that the words' own worth is noise.

For a negative control a coin decides, prompt by prompt, which side is called the example, so its
gap is exactly zero over the draws.  Full audits, features and all, are in ``explained.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from pm_audit.forward.grid import Grid, Row
from pm_audit.forward.trace import rewards
from pm_audit.judging import Question as Judged
from pm_audit.judging.checks import gap
from pm_audit.judging.figures import measure
from pm_audit.pipelines.audit import Auditor
from pm_audit.records import Evidence, Outcome, Role, RowEvidence
from pm_audit.spec import Expect, ExpectedGap, Speaker, Turn
from pm_audit.stats import Interval
from pm_audit.subject.preference_model import PreferenceModel
from recipes.biased.biases import Bias
from recipes.biased.texts import Split, completion, draw_fields, named, questions
from recipes.calibrate.result import GapAudits, TrainedAudit

PROMPTS = 12
"""Prompts of a simulated audit."""

ANSWERS = 2
"""Answers to a question in the pool."""

Pool = npt.NDArray[np.float64]
"""Rewards ``"question answer side"``; side 0 is the example."""


def audit_trained(
    auditor: Auditor,
    biases: Sequence[Bias],
    *,
    audits: int,
    seed: int,
    report: Callable[[str], None],
) -> tuple[TrainedAudit, ...]:
    """Audit the biased PM by every hypothesis.

    Args:
        auditor: holds the biased PM and its SAE.
        biases: planted ones and negative controls.
        audits: simulated audits of each hypothesis and contrast.
        seed: of all that is drawn.
        report: receives progress.

    """
    found = []
    scale = auditor.scale(auditor.pm)
    for number, bias in enumerate(biases):
        report(f"{bias.name}: {number + 1} of {len(biases)} hypotheses about the biased PM")
        generator = np.random.default_rng((seed, number))
        pool = score(auditor.pm, bias, generator)
        edited = pool[..., 0] - pool[..., 1]
        found.append(
            TrainedAudit(
                name=bias.name,
                claim=bias.claim,
                strength=bias.strength,
                gap=float(edited.mean()) / scale.sigma if bias.strength else 0.0,
                spread=float(edited.std()) / scale.sigma,
                matched=_gap_audits(auditor, bias, pool, generator, audits=audits, matched=True),
                unmatched=_gap_audits(auditor, bias, pool, generator, audits=audits, matched=False),
            )
        )
    return tuple(found)


def score(pm: PreferenceModel, bias: Bias, generator: np.random.Generator) -> Pool:
    """Return the pool's rewards of one hypothesis, over every second wording of a topic."""
    chosen = questions(Split.AUDIT)[::2]
    rows = []
    for number, question in enumerate(chosen):
        turns = (Turn(speaker=Speaker.HUMAN, text=question.text),)
        for _ in range(ANSWERS):
            fields = draw_fields(question, generator) | named(bias.words, swapped=False)
            for template in (bias.example, bias.counter_example):
                text = pm.text_format.tokenise(turns, completion(template, fields))
                rows.append(Row(number, text.token_ids, text.completion_start))
    return rewards(pm, Grid(tuple(rows))).reshape(len(chosen), ANSWERS, 2)


def _gap_audits(
    auditor: Auditor,
    bias: Bias,
    pool: Pool,
    generator: np.random.Generator,
    *,
    audits: int,
    matched: bool,
) -> GapAudits:
    """Draw audits of one contrast, and count what `gap` says."""
    truth = float((pool[..., 0] - pool[..., 1]).mean()) if bias.strength else 0.0
    found = covered = 0
    for _ in range(audits):
        question = generator.integers(len(pool), size=PROMPTS)
        answer = generator.integers(ANSWERS, size=PROMPTS)
        other = answer if matched else (answer + 1) % ANSWERS
        gaps = pool[question, answer, 0] - pool[question, other, 1]
        if not bias.strength:
            gaps *= generator.choice([-1.0, 1.0], size=PROMPTS)
        gap, claims = judged(gaps, auditor)
        found += bool(claims) if not bias.strength else claim_of(bias) in claims
        covered += gap.low <= truth <= gap.high
    return GapAudits(audits=audits, found=found, covered=covered)


def judged(gaps: npt.NDArray[np.float64], auditor: Auditor) -> tuple[Interval, set[ExpectedGap]]:
    """Return the gap [prompt] with its interval, raw, and the claims that `gap` would pass."""
    scale = auditor.scale(auditor.pm)
    evidence = Evidence(
        prompts=tuple(map(str, range(len(gaps)))),
        rows=tuple(
            RowEvidence(
                prompt=prompt,
                role=role,
                variant=0,
                text="",
                reward=reward,
                ablated=reward,
            )
            for prompt, gap in enumerate(gaps.tolist())
            for role, reward in ((Role.EXAMPLE, gap), (Role.COUNTER_EXAMPLE, 0.0))
        ),
        sigma=scale.sigma,
        noise=scale.noise,
        folds=(),
        null=(),
        fits=(),
    )
    claims = (ExpectedGap.RAISES, ExpectedGap.LOWERS)
    expected = [Expect(gap=claim) for claim in claims]
    figures = measure(evidence, auditor.method, margin=expected[0].margin)
    passed = {
        one.gap for one in expected if gap.judge(Judged(figures, one, evidence))[0] is Outcome.PASS
    }
    return figures.gap, passed


def claim_of(bias: Bias) -> ExpectedGap:
    """Return which way a hypothesis about the bias says that the gap goes."""
    return ExpectedGap.LOWERS if bias.strength < 0 else ExpectedGap.RAISES
