"""Chance: how often `explained` passes where nothing is to be explained, or no feature explains it.

The labels of a hypothesis are exchanged at random within its prompts (a placebo), or both sides are
drawn from one distribution (a negative control).  Most such audits find no gap, and `explained` is
INVALID.  So the same is repeated on prompts chosen for showing a gap by luck; a feature may then
carry the luck, and closing it is no error of `explained`.  Where the gap is real and the SAE has no
latent for it, no set explains it, and every PASS is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from scipy.special import stdtrit

from pm_audit.pipelines.audit import Auditor
from pm_audit.records import Check, HypothesisRecord, Role
from pm_audit.spec import Hypothesis, Prompt, Settings, expand
from pm_audit.subject.preference_model import PreferenceModel
from recipes.calibrate.fresh import read
from recipes.calibrate.planted import plant_gaps
from recipes.calibrate.result import ChanceAudit
from recipes.planted.hypothesis import always, drawn_hypothesis, some_of
from recipes.planted.linear import NEUTRAL

AUDITS = 10
"""Audits of a model of each kind."""

PROMPTS = 12
PHRASINGS = 2

POOL = 240
"""Prompts among which those with a gap by luck are chosen."""

PLACEBO, CONTROL, UNSEEN = "labels exchanged", "both sides alike", "gap that the SAE does not see"
LUCKY = ", chosen for a gap"

_LEVEL = 0.05
_MARK = "!"

Drawn = Callable[[np.random.Generator, int], Hypothesis]
"""Draws a hypothesis over so many prompts."""


def audit_chance(*, seed: int) -> tuple[ChanceAudit, ...]:
    """Plant one model, and audit it by hypotheses of every kind."""
    generator = np.random.default_rng(seed)
    model, _ = plant_gaps({_MARK: 3.0}, seed=seed)
    seeing, unseeing = (
        Auditor(Settings(), subject=(model.pm, (sae,)))
        for sae in (model.sae, model.blind(_MARK, name="blind"))
    )
    audits = []
    for kind, drawn in _KINDS.items():
        pool = drawn(generator, POOL)
        gaps = gaps_of(model.pm, pool)
        for _ in range(AUDITS):
            record = seeing.audit(drawn(generator, PROMPTS))
            audits.append(judged(record, subject="constructed", kind=kind))
            lucky = seeing.audit(chosen_for_gap(pool, gaps, generator))
            audits.append(judged(lucky, subject="constructed", kind=kind + LUCKY))
    for _ in range(AUDITS):
        record = unseeing.audit(_real(generator, PROMPTS))
        audits.append(judged(record, subject="constructed", kind=UNSEEN))
    return tuple(audits)


def exchanged(hypothesis: Hypothesis, generator: np.random.Generator) -> Hypothesis:
    """Return the hypothesis with the texts of both sides dealt out again within each prompt."""
    texts: list[list[str]] = [[] for _ in hypothesis.prompts]
    for case in expand(hypothesis):
        if case.role is not Role.CONTROL:
            texts[case.prompt].append(case.text)
    templates = tuple(f"{{text_{number}}}" for number in range(len(texts[0])))
    count = len(hypothesis.examples)
    prompts = tuple(
        Prompt(
            id=prompt.id,
            wordings=prompt.wordings,
            fields={
                f"text_{at}": own[one] for at, one in enumerate(generator.permutation(len(own)))
            },
        )
        for prompt, own in zip(hypothesis.prompts, texts, strict=True)
    )
    return hypothesis.model_copy(
        update={
            "prompts": prompts,
            "examples": templates[:count],
            "counter_examples": templates[count:],
            "controls": (),
        }
    )


def gaps_of(pm: PreferenceModel, hypothesis: Hypothesis) -> np.ndarray:
    """Return the gap of each prompt, raw reward."""
    experiment = read(pm, (), hypothesis)
    return experiment.contrast.gap_by_prompt(experiment.rewards)


def chosen_for_gap(
    pool: Hypothesis, gaps: np.ndarray, generator: np.random.Generator
) -> Hypothesis:
    """Return the hypothesis over prompts drawn again and again, until their t test finds a gap."""
    critical = stdtrit(PROMPTS - 1, 1 - _LEVEL / 2)
    while True:
        drawn = generator.choice(len(gaps), PROMPTS, replace=False)
        own = gaps[drawn]
        if abs(own.mean()) > critical * own.std(ddof=1) / np.sqrt(PROMPTS):
            return pool.model_copy(update={"prompts": tuple(pool.prompts[one] for one in drawn)})


def judged(record: HypothesisRecord, *, subject: str, kind: str) -> ChanceAudit:
    """Return what an audit said."""
    return ChanceAudit(
        subject=subject,
        kind=kind,
        found=record.closure is not None,
        explained={one.check: one.outcome for one in record.checks}[Check.EXPLAINED],
        closure=None if record.closure is None else record.closure.value,
    )


def _real(generator: np.random.Generator, prompts: int) -> Hypothesis:
    return drawn_hypothesis(
        generator,
        closing=always(_MARK),
        counter_closing=always(NEUTRAL),
        prompts=prompts,
        phrasings=PHRASINGS,
    )


def _placebo(generator: np.random.Generator, prompts: int) -> Hypothesis:
    return exchanged(_real(generator, prompts), generator)


def _control(generator: np.random.Generator, prompts: int) -> Hypothesis:
    closing = some_of(_MARK + NEUTRAL, 1)
    return drawn_hypothesis(
        generator, closing=closing, counter_closing=closing, prompts=prompts, phrasings=PHRASINGS
    )


_KINDS: Mapping[str, Drawn] = {PLACEBO: _placebo, CONTROL: _control}
