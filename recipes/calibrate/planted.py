"""Audits of planted models: marks of several strengths, and marks that mean nothing.

Every hypothesis compares answers that end in a mark with answers that end in a neutral one.  The
answers are drawn at random for each prompt, both sides from one distribution and of one length,
so the population's gap is the planted one, and zero for a negative control; any other difference in
a sample of prompts is chance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pm_audit.forward.scale import measure_scale
from pm_audit.pipelines.audit import Auditor
from pm_audit.records import HypothesisRecord
from pm_audit.spec import Hypothesis, Settings, expand
from pm_audit.text.text_format import TokenisedRow
from recipes.calibrate.result import PlantedAudit
from recipes.planted.hypothesis import always, drawn_hypothesis
from recipes.planted.linear import MARKS, NEUTRAL, SCALE, STRENGTH, Planted, plant

PROMPTS = 12

STRENGTHS = (0.3, -0.75, 1.5, -3.0)
"""True gaps in sigma of the ordinary characters' own spread; the other marks are negative
controls."""

SETTINGS = Settings(null_sets=3, candidates=8, bootstrap_resamples=500)


def audit_planted(*, seed: int) -> tuple[PlantedAudit, ...]:
    """Plant one model and audit every mark, negative controls included."""
    generator = np.random.default_rng(seed)
    marks = generator.permutation(list(MARKS)).tolist()
    model, worth = plant_gaps(dict(zip(marks, STRENGTHS, strict=False)), seed=seed)
    auditor = Auditor(SETTINGS, subject=(model.pm, (model.sae,)))
    audits = []
    for mark in marks:
        hypothesis = _hypothesis(mark, generator)
        record = auditor.audit(hypothesis)
        truth = worth.get(mark, 0.0)
        audits.append(_outcome(model, seed, mark, truth, record, _rows(model, hypothesis)))
    return tuple(audits)


def plant_gaps(
    strengths: Mapping[str, float], *, marks: int = 1, seed: int
) -> tuple[Planted, dict[str, float]]:
    """Plant marks that are worth so many sigma of the ordinary characters' own spread each.

    In drawn answers that are closed by so many ``marks``; return what each is worth in raw reward
    as well.
    """
    plain = plant({}, seed=seed)
    closing = always(NEUTRAL * marks)
    drawn = drawn_hypothesis(
        np.random.default_rng(seed), closing=closing, counter_closing=closing, prompts=1
    )
    length, unit = len(_rows(plain, drawn)[0].token_ids), measure_scale(plain.pm).sigma
    worth = {mark: strength * unit for mark, strength in strengths.items()}
    weights = {mark: raw * length / (SCALE * STRENGTH) for mark, raw in worth.items()}
    return plant(weights, seed=seed), worth


def _hypothesis(mark: str, generator: np.random.Generator) -> Hypothesis:
    return drawn_hypothesis(
        generator, closing=always(mark), counter_closing=always(NEUTRAL), prompts=PROMPTS
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
