from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm, t

from pm_audit.stats import clustered_mean, clustered_share


def test_units_of_their_own_have_the_classical_t_interval():
    values = np.random.default_rng(0).normal(size=40)
    found = clustered_mean(values, np.arange(40), confidence=0.95)
    low, high = t.interval(0.95, 39, values.mean(), values.std(ddof=1) / math.sqrt(40))
    assert (found.value, found.low, found.high) == pytest.approx((values.mean(), low, high))


def test_copies_of_a_unit_say_nothing_new():
    values = np.random.default_rng(1).normal(size=30)
    once = clustered_mean(values, np.arange(30), confidence=0.9)
    often = clustered_mean(np.repeat(values, 5), np.repeat(np.arange(30), 5), confidence=0.9)
    assert (often.low, often.high) == pytest.approx((once.low, once.high))


def test_a_share_of_many_units_has_wilsons_interval():
    right = np.arange(2000) < 1240
    found = clustered_share(right.astype(float), np.arange(2000), confidence=0.95)
    z, share = norm.ppf(0.975), 0.62
    middle = (share + z**2 / 4000) / (1 + z**2 / 2000)
    reach = z / (1 + z**2 / 2000) * math.sqrt(share * (1 - share) / 2000 + z**2 / (4 * 2000**2))
    assert (found.low, found.high) == pytest.approx((middle - reach, middle + reach), abs=1e-3)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_all_or_none_has_an_interval_inside_0_to_1(share):
    found = clustered_share(np.full(12, share), np.arange(12) // 2, confidence=0.95)
    assert 0 <= found.low <= share <= found.high <= 1
    assert found.high - found.low > 0.3


def test_one_cluster_bounds_nothing():
    assert clustered_mean(np.ones(4), np.zeros(4, dtype=int), confidence=0.95).high == math.inf
    found = clustered_share(np.ones(4), np.zeros(4, dtype=int), confidence=0.95)
    assert (found.low, found.high) == (0, 1)


def test_intervals_of_clustered_shares_cover():
    draw = np.random.default_rng(2)
    clusters = np.repeat(np.arange(60), 5)
    hits = 0
    for _ in range(300):
        chance = np.repeat(draw.beta(3, 2, size=60), 5)
        found = clustered_share(
            (draw.random(300) < chance).astype(float), clusters, confidence=0.95
        )
        hits += found.low <= 0.6 <= found.high
    assert 0.92 <= hits / 300 <= 0.99
