"""A planted audit up to the search: what the search receives, without the auditor around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from pm_audit.forward.contrast import Contrast
from pm_audit.forward.experiment import Experiment
from pm_audit.forward.grid import Grid, Row
from pm_audit.forward.trace import Trace, trace
from pm_audit.records import MethodRecord
from pm_audit.search import Fold, split
from pm_audit.spec import Effect, Settings, expand, method_of
from pm_audit.text.text_format import TokenisedRow
from recipes.planted.hypothesis import marks_hypothesis
from recipes.planted.linear import plant


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


@pytest.fixture(scope="session")
def planting() -> Planting:
    model = plant({"!": 0.4, "~": 0.2, "*": -0.1}, seed=1)
    cases = expand(marks_hypothesis("!~", effect=Effect.RAISES, prompts=6, counter_marks="**"))
    texts = [model.pm.text_format.tokenise(case.turns, case.text) for case in cases]
    rows = tuple(
        Row(case.prompt, text.token_ids, text.completion_start)
        for case, text in zip(cases, texts, strict=True)
    )
    contrast = Contrast(np.array([case.prompt for case in cases]), [case.role for case in cases])
    return Planting(
        Experiment(trace(model.pm, [model.sae], Grid(rows)), contrast),
        split(contrast.prompts, 2, seed=0),
        dict(model.latent_of),
        tuple(texts),
    )
