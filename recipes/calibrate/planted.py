"""Audits of planted models: marks of several strengths, and marks that mean nothing.

Every hypothesis compares answers that end in a mark with answers that end in a neutral one.  The
answers are drawn at random for each prompt, both sides from one distribution and of one length,
so the population's gap is the planted one, and zero for a negative control; any other difference in
a sample of prompts is chance.
"""

from __future__ import annotations

import string
from collections.abc import Sequence

import numpy as np

from pm_audit.forward.scale import measure_scale
from pm_audit.pipelines.audit import Auditor
from pm_audit.records import HypothesisRecord
from pm_audit.spec import Effect, Expect, ExpectedGap, Hypothesis, Prompt, Settings, expand
from pm_audit.text.text_format import TokenisedRow
from recipes.calibrate.result import PlantedAudit
from recipes.planted.linear import MARKS, NEUTRAL, SCALE, STRENGTH, Planted, plant

PROMPTS = 12

STRENGTHS = (0.3, -0.75, 1.5, -3.0)
"""True gaps in sigma of the ordinary characters' own spread; the other marks are negative
controls."""

SETTINGS = Settings(null_sets=3, candidates=8, bootstrap_resamples=500)

_LETTERS = 12
"""Letters of a question and of an answer."""


def audit_planted(*, seed: int) -> tuple[PlantedAudit, ...]:
    """Plant one model and audit every mark, negative controls included."""
    generator = np.random.default_rng(seed)
    plain = plant({}, seed=seed)
    length = len(_rows(plain, _hypothesis(MARKS[0], generator))[0].token_ids)
    unit = measure_scale(plain.pm).sigma
    marks = generator.permutation(list(MARKS)).tolist()
    weights = {
        mark: strength * unit * length / (SCALE * STRENGTH)
        for mark, strength in zip(marks, STRENGTHS, strict=False)
    }
    model = plant(weights, seed=seed)
    auditor = Auditor(SETTINGS, subject=(model.pm, (model.sae,)))
    audits = []
    for mark in marks:
        hypothesis = _hypothesis(mark, generator)
        truth = SCALE * STRENGTH * weights.get(mark, 0.0) / length
        record = auditor.audit(hypothesis)
        audits.append(_outcome(model, seed, mark, truth, record, _rows(model, hypothesis)))
    return tuple(audits)


def _hypothesis(mark: str, generator: np.random.Generator) -> Hypothesis:
    letters = list(string.ascii_lowercase + " ")

    def drawn() -> str:
        return "a" + "".join(generator.choice(letters, _LETTERS - 2)) + "e"

    return Hypothesis(
        name="planted",
        file="planted.yaml",
        claim="The mark moves the reward.",
        effect=Effect.RAISES,
        prompts=tuple(
            Prompt(
                id=f"prompt-{number}",
                wordings=(f"{drawn()}?",),
                fields={"one": drawn(), "two": drawn()},
            )
            for number in range(PROMPTS)
        ),
        examples=(f" {{one}}{mark}",),
        counter_examples=(f" {{two}}{NEUTRAL}",),
        expect=Expect(gap=ExpectedGap.RAISES),
    )


def _rows(model: Planted, hypothesis: Hypothesis) -> list[TokenisedRow]:
    return [
        model.pm.text_format.tokenise(case.turns, case.text)
        for case in expand(hypothesis)
        if case.role == "example"
    ]


def _outcome(
    model: Planted,
    seed: int,
    mark: str,
    truth: float,
    record: HypothesisRecord,
    rows: Sequence[TokenisedRow],
) -> PlantedAudit:
    gap, latent = record.gap, model.latent_of[mark]
    sets = [{feature.index for feature in fold.selected} for fold in record.evidence.folds]
    listed = [one.contribution.value for one in record.features if one.index == latent]
    known = np.mean([model.contribution(latent, row) for row in rows])
    low = -np.inf if gap.low is None else gap.low
    high = np.inf if gap.high is None else gap.high
    return PlantedAudit(
        model=seed,
        mark=mark,
        strength=truth / record.evidence.sigma,
        found=record.closure is not None,
        right_way=record.closure is not None and gap.value * truth > 0,
        gap=record.gap_sigma.value,
        covered=bool(low <= truth <= high),
        closure=None if record.closure is None else record.closure.value,
        planted_selected=bool(sets) and all(latent in chosen for chosen in sets),
        selected=max((len(chosen) for chosen in sets), default=0),
        contribution_error=abs(listed[0] - float(known)) if truth and listed else None,
    )
