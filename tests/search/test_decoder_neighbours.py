"""A concept split over two latents: the second becomes a candidate by its decoder."""

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
from pm_audit.search.decoder_neighbours import nearest
from pm_audit.search.folds import split
from pm_audit.search.propose import SaeScores, rank
from pm_audit.subject.sae import Sae
from recipes.planted.linear import plant

LATENTS = 6
SPLIT, INACTIVE = 4, 5
"""A latent that every score passes over, and one that fires nowhere."""


def sae(*, cosine: float) -> Sae:
    """Return an SAE whose latents 4 and 5 have this decoder cosine with latent 0."""
    decoder = torch.eye(LATENTS)
    for part in (SPLIT, INACTIVE):
        decoder[part] = (1 - cosine**2) ** 0.5 * decoder[part] + cosine * decoder[0]
    return replace(
        plant({}).sae,
        W_enc=decoder.T.contiguous(),
        b_enc=torch.zeros(LATENTS),
        W_dec=decoder,
        b_dec=torch.zeros(LATENTS),
    )


def candidates(*, cosine: float) -> set[int]:
    prompts = np.repeat(np.arange(4), 2)
    contrast = Contrast(prompts, [Role.EXAMPLE, Role.COUNTER_EXAMPLE] * 4)
    example = np.tile([1.0, 0.0], 4)
    score = np.outer([3.0, 2.0, 1.0, 0.5, -1.0, 2.5], example)
    fires = np.ones_like(score)
    fires[INACTIVE] = 0.0
    scores = SaeScores(
        sae=sae(cosine=cosine),
        atp=csr_array(score),
        integrated=csr_array(score),
        fires=csr_array(fires),
        completeness_gap=np.zeros(8),
        change=np.ones(8),
    )
    folds = split(4, 2, seed=0)
    experiment = Experiment(SimpleNamespace(rewards=example), contrast)
    method = SimpleNamespace(candidates=4, selectivity=0.8)
    proposal = rank((scores,), experiment, folds, method=method)
    assert all(proposal.rare)
    return {
        feature.index
        for fold, rare in zip(proposal.by_fold, proposal.rare, strict=True)
        for feature in fold
        if feature not in rare
    }


def test_the_nearest_come_first_and_the_latent_itself_never() -> None:
    near = nearest(sae(cosine=0.6), 0, most=3)
    assert {index for index, _ in near[:2]} == {SPLIT, INACTIVE}
    assert [cosine for _, cosine in near] == pytest.approx([0.6, 0.6, 0.0])


def test_a_split_concept_is_proposed_with_its_other_part() -> None:
    assert candidates(cosine=0.1) == {0, 1, 2, 3}
    # within the same number of candidates, and never where it fires on no example
    assert candidates(cosine=0.6) == {0, 1, 2, SPLIT}
