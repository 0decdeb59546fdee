"""Candidates are mostly features whose attributions fall on the examples."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from pm_audit.forward.contrast import Contrast
from pm_audit.forward.experiment import Experiment
from pm_audit.records import Role
from pm_audit.search.folds import Fold
from pm_audit.search.propose import SaeScores, rank
from recipes.planted.linear import plant

FOLD = Fold(discovery=(0, 1), held_out=(2, 3))
CONTRAST = Contrast(np.repeat(np.arange(4), 2), [Role.EXAMPLE, Role.COUNTER_EXAMPLE] * 4)
EVERYWHERE = np.array([8.0, 4.0] * 4)
"""A strong latent that pushes counter-examples half as much as examples: selectivity 2/3."""
BOTH_WAYS = np.array([7.0, -6.0] * 4)
"""The same on its examples, and nearly as much against the gap's other side."""


def scores(*, integrated: list[np.ndarray], atp: list[np.ndarray]) -> SaeScores:
    latents = len(integrated)
    sae = replace(
        plant({}).sae,
        W_enc=torch.eye(latents),
        b_enc=torch.zeros(latents),
        W_dec=torch.eye(latents),
        b_dec=torch.zeros(latents),
    )
    return SaeScores(
        sae=sae,
        integrated=csr_array(np.array(integrated)),
        atp=csr_array(np.array(atp)),
        fires=csr_array(np.ones((latents, 8))),
        completeness_gap=np.zeros(8),
        change=np.ones(8),
    )


def on_examples(size: float) -> np.ndarray:
    return np.array([size, 0.0] * 4)


def proposed(table: SaeScores, *, candidates: int, selectivity: float) -> list[int]:
    experiment = Experiment(SimpleNamespace(rewards=on_examples(1.0)), CONTRAST)
    method = SimpleNamespace(candidates=candidates, selectivity=selectivity)
    proposal = rank((table,), experiment, (FOLD,), method=method)
    return [feature.index for feature in proposal.by_fold[0]]


def test_selectivity_takes_the_better_of_the_two_scores() -> None:
    table = scores(
        integrated=[EVERYWHERE, on_examples(1.0), np.zeros(8)],
        atp=[BOTH_WAYS, np.ones(8), np.zeros(8)],
    )
    assert table.selectivity(CONTRAST, FOLD) == pytest.approx([2 / 3, 1.0, 0.0])


def test_unselective_features_have_a_quarter_of_the_places_however_strong() -> None:
    strong = [BOTH_WAYS * factor for factor in (1.0, 2.0, 3.0, 4.0)]
    weak = [on_examples(size) for size in (0.1, 0.2, 0.3, 0.4)]
    table = scores(integrated=strong + weak, atp=strong + weak)
    # best score first: the strongest of all keeps its place, the weak selective ones follow
    assert proposed(table, candidates=4, selectivity=0.8) == [3, 7, 6, 5]


def test_a_method_that_asks_for_no_selectivity_ranks_by_strength() -> None:
    strong = [BOTH_WAYS * factor for factor in (1.0, 2.0, 3.0, 4.0)]
    weak = [on_examples(size) for size in (0.1, 0.2, 0.3, 0.4)]
    table = scores(integrated=strong + weak, atp=strong + weak)
    assert proposed(table, candidates=4, selectivity=0.2) == [3, 2, 1, 0]
