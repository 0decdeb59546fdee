"""A planted audit up to the search: what the search receives, without the auditor around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from pm_audit.forward.contrast import Contrast
from pm_audit.forward.experiment import Experiment
from pm_audit.forward.grid import Grid, Row
from pm_audit.forward.targets import Targets
from pm_audit.forward.trace import Trace, trace
from pm_audit.interventions.replacements import contrast_features
from pm_audit.records import Feature, MethodRecord
from pm_audit.search import Fold, Proposal, Selector, propose, split
from pm_audit.spec import Effect, Hypothesis, Settings, expand, method_of
from pm_audit.subject.sae import Sae
from pm_audit.text.text_format import TokenisedRow
from recipes.planted.hypothesis import marks_hypothesis
from recipes.planted.linear import Planted, plant


@dataclass(frozen=True)
class Planting:
    """A planted hypothesis up to the search."""

    experiment: Experiment
    folds: tuple[Fold, ...]
    latent_of: dict[str, int]
    texts: tuple[TokenisedRow, ...]

    @property
    def trace(self) -> Trace:
        return self.experiment.trace

    @property
    def contrast(self) -> Contrast:
        return self.experiment.contrast

    @property
    def targets(self) -> Targets:
        return contrast_features(self.experiment)

    def proposal(self, **changed: object) -> Proposal:
        return propose(self.experiment, self.targets, method=method(**changed))

    def selector(self, proposal: Proposal | None = None, **changed: object) -> Selector:
        found = proposal or self.proposal(**changed)
        return Selector.of(self.experiment, found, method=method(**changed), searches=2)

    def features(self, marks: str, sae: str = "planted") -> tuple[Feature, ...]:
        return tuple(Feature(sae=sae, layer=0, index=self.latent_of[mark]) for mark in marks)

    def with_rewards(self, rewards: np.ndarray) -> Planting:
        """Return the same with other rewards of the clean forward."""
        other = replace(self.trace, rewards=rewards)
        return replace(self, experiment=Experiment(other, self.contrast))


def method(**changed: object) -> MethodRecord:
    """Return a small method; what a test is about is changed."""
    settings = {
        "candidates": 8,
        "max_features": 3,
        "ig_steps": 2,
        "null_sets": 2,
        "bootstrap_resamples": 100,
    }
    return method_of(Settings(**{**settings, **changed}), quadrature="midpoint")


def planting_of(
    model: Planted, hypothesis: Hypothesis, saes: Sequence[Sae] | None = None, *, folds: int = 2
) -> Planting:
    """Return a hypothesis about a planted model up to the search."""
    cases = expand(hypothesis)
    texts = [model.pm.text_format.tokenise(case.turns, case.text) for case in cases]
    rows = tuple(
        Row(case.prompt, text.token_ids, text.completion_start)
        for case, text in zip(cases, texts, strict=True)
    )
    contrast = Contrast(
        np.array([case.prompt for case in cases]),
        [case.role for case in cases],
        np.array([case.variant for case in cases]),
    )
    experiment = Experiment(trace(model.pm, saes or [model.sae], Grid(rows)), contrast)
    gaps = contrast.gap_by_prompt(experiment.rewards).tolist()
    return Planting(experiment, split(gaps, folds, seed=0), dict(model.latent_of), tuple(texts))


def parted(model: Planted, *groups: str) -> list[Sae]:
    """Return an SAE for each group of marks, the last of which sees all that is no mark too."""
    saes = []
    for number, group in enumerate(groups):
        others = "".join(groups).translate(dict.fromkeys(map(ord, group)))
        hidden = [model.latent_of[mark] for mark in others]
        if number < len(groups) - 1:
            hidden += range(len(model.latent_of), model.sae.width)
        bias = model.sae.b_enc.clone()
        bias[hidden] = -1e6
        saes.append(replace(model.sae, name=f"part-{number}", b_enc=bias))
    return saes


def phrased(*examples: str, counter_examples: Sequence[str], prompts: int = 8) -> Hypothesis:
    """Return a hypothesis whose completions are one answer, closed in several ways."""
    base = marks_hypothesis("!", effect=Effect.RAISES, prompts=prompts)
    answer = " Ask at the gate"
    return base.model_copy(
        update={
            "examples": tuple(answer + marks for marks in examples),
            "counter_examples": tuple(answer + marks for marks in counter_examples),
            "controls": (),
        }
    )


@pytest.fixture(scope="session")
def model() -> Planted:
    torch.set_num_threads(1)
    return plant({"!": 0.4, "~": 0.2, "*": -0.1}, seed=1)


@pytest.fixture(scope="session")
def planting(model: Planted) -> Planting:
    hypothesis = marks_hypothesis("!~", effect=Effect.RAISES, prompts=6, counter_marks="**")
    return planting_of(model, hypothesis)
