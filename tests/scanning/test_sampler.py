from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from pm_audit.scanning.sampler import Sampler, sample

DIFFERENCES = np.random.default_rng(0).normal(size=400)
STRATA = ["rare" if at % 10 == 0 else "common" for at in range(400)]


def draw(sampler: Sampler, size: int = 100, seed: int = 0) -> np.ndarray:
    return sample(DIFFERENCES, STRATA, size, sampler, seed=seed)


@pytest.mark.parametrize("sampler", Sampler)
def test_a_sample_is_sorted_unique_and_of_its_size(sampler):
    found = draw(sampler)
    assert len(found) == 100
    assert (np.diff(found) > 0).all()
    assert draw(sampler).tolist() == found.tolist()
    assert draw(sampler, size=1000).tolist() == list(range(400))


def test_top_gap_takes_the_largest_of_either_sign():
    found = draw(Sampler.TOP_GAP)
    rest = np.setdiff1d(np.arange(400), found)
    assert np.abs(DIFFERENCES[found]).min() >= np.abs(DIFFERENCES[rest]).max()
    assert (DIFFERENCES[found] < 0).any()
    assert (DIFFERENCES[found] > 0).any()


def test_a_stratified_sample_keeps_the_shares_of_gap_and_column():
    found = draw(Sampler.STRATIFIED)
    assert Counter(STRATA[at] for at in found)["rare"] == pytest.approx(10, abs=2)
    bounds = np.quantile(DIFFERENCES, [0.2, 0.4, 0.6, 0.8])
    parts = Counter(np.searchsorted(bounds, DIFFERENCES[found]).tolist())
    assert all(count == pytest.approx(20, abs=2) for count in parts.values())


@pytest.mark.parametrize("sampler", [Sampler.STRATIFIED, Sampler.RANDOM])
def test_another_seed_draws_others(sampler):
    assert draw(sampler, seed=1).tolist() != draw(sampler).tolist()
