"""Closures against the truth: the same sets, replaced on 500 prompts that no audit has seen.

An audit states a closure with an interval.  The sets that its folds found are then replaced on
fresh prompts from the same distribution, whose own values take the features' place; the mean over
the folds is the closure that the interval should hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pm_audit.forward.contrast import Contrast
from pm_audit.forward.experiment import Experiment
from pm_audit.forward.grid import Grid, Row
from pm_audit.forward.trace import trace
from pm_audit.interventions.ablation import ablate_sets
from pm_audit.interventions.replacements import contrast_features
from pm_audit.pipelines.audit import Auditor
from pm_audit.records import Check, Feature, HypothesisRecord
from pm_audit.spec import Hypothesis, Settings, expand
from pm_audit.subject.preference_model import PreferenceModel
from pm_audit.subject.sae import Sae
from recipes.calibrate.planted import plant_gaps
from recipes.calibrate.result import FreshAudit
from recipes.planted.hypothesis import Closing, always, drawn_hypothesis, some_of
from recipes.planted.linear import MARKS, NEUTRAL

FRESH = 500
"""Prompts on which the truth is measured."""

AUDITS = 8
"""Audits of a model in each family."""


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of constructed hypothesis whose closure is not 1, or not the same in all prompts."""

    strengths: Mapping[str, float]
    """Worth of each mark in sigma."""
    closing: Closing
    counter_closing: Closing
    marks: int
    """Marks that close a text."""
    settings: Settings


FAMILIES = {
    "one mark, other words on both sides": Family(
        {"!": 4.0}, always("!"), always(NEUTRAL), 1, Settings()
    ),
    "three of eight marks, three features": Family(
        dict(zip(MARKS, (3.0, 2.8, 2.6, 2.4, 1.8, 1.2, 0.8, 0.6), strict=True)),
        some_of(MARKS, 3),
        always(NEUTRAL * 3),
        3,
        Settings(max_features=3),
    ),
}
"""In the first, words add noise to a gap that one feature carries; in the second, no set of three
is right, and each fold finds the three that its own prompts show most."""


def audit_fresh(*, seed: int) -> tuple[FreshAudit, ...]:
    """Plant one model of each family, audit it several times, and measure each closure's truth."""
    audits = []
    for number, (name, family) in enumerate(FAMILIES.items()):
        generator = np.random.default_rng((seed, number))
        model, _ = plant_gaps(family.strengths, marks=family.marks, seed=seed)
        auditor = Auditor(family.settings, subject=(model.pm, (model.sae,)))
        truth = read(model.pm, (model.sae,), _drawn(family, generator, prompts=FRESH))
        for _ in range(AUDITS):
            record = auditor.audit(_drawn(family, generator, prompts=12))
            audits.append(compared(record, truth, subject="constructed", name=name))
    return tuple(audits)


def _drawn(family: Family, generator: np.random.Generator, *, prompts: int) -> Hypothesis:
    return drawn_hypothesis(
        generator,
        closing=family.closing,
        counter_closing=family.counter_closing,
        prompts=prompts,
    )


def read(pm: PreferenceModel, saes: Sequence[Sae], hypothesis: Hypothesis) -> Experiment:
    """Return the clean forward of a hypothesis; prompts that ask the same share their prefix."""
    cases = expand(hypothesis)
    asked = {
        turns: number for number, turns in enumerate(dict.fromkeys(one.turns for one in cases))
    }
    rows = []
    for case in cases:
        text = pm.text_format.tokenise(case.turns, case.text)
        rows.append(
            Row(asked[case.turns], text.token_ids, text.completion_start, text.completion_stop)
        )
    contrast = Contrast(
        np.array([case.prompt for case in cases]),
        [case.role for case in cases],
        np.array([case.variant for case in cases]),
    )
    return Experiment(trace(pm, saes, Grid(tuple(rows))), contrast)


def closure_on(experiment: Experiment, sets: Sequence[Sequence[Feature]]) -> float:
    """Return the mean closure of some sets on an experiment's prompts."""
    contrast = experiment.contrast
    targets = contrast_features(experiment)
    after = ablate_sets(experiment.trace, sets, targets=targets)
    weights = contrast.weights(range(contrast.prompts))
    return float(1 - (after @ weights).mean() / (experiment.rewards @ weights))


def compared(record: HypothesisRecord, truth: Experiment, *, subject: str, name: str) -> FreshAudit:
    """Return what an audit said of its sets, and what they do on fresh prompts."""
    sets = [fold.selected for fold in record.evidence.folds]
    return FreshAudit(
        subject=subject,
        name=name,
        closure=record.closure,
        fresh=closure_on(truth, sets) if sets else None,
        stability=None if record.stability is None else record.stability.value,
        selected=max(map(len, sets), default=0),
        explained={one.check: one.outcome for one in record.checks}[Check.EXPLAINED],
    )
