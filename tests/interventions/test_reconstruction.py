"""Replacing every feature, or the whole stream, at one layer or at several, against plain hooks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from pm_audit.forward.trace import trace
from pm_audit.interventions.reconstruction import replace_features, replace_streams
from pm_audit.interventions.replacements import mean_features

REFERENCE = [0, 1, 5]


@pytest.fixture
def traced(lab, llama):
    saes = [lab.sae(0), lab.sae(2)]
    grid = lab.grid()
    return saes, trace(llama, saes, grid), lab.plain(llama, grid)


def at_mean(sae, means):
    def edit(_, stream):
        encoding = sae.encode(stream)
        mean = means[sae.name].value.expand_as(encoding.features)
        return stream - sae.decode(encoding) + sae.decode(encoding.with_features(mean))

    return edit


@pytest.mark.parametrize("chosen", [[0], [1], [0, 1]])
def test_features_at_their_means_equal_the_definition(llama, traced, chosen):
    saes, clean, plain = traced
    means = mean_features(clean, REFERENCE)
    taken = [saes[number] for number in chosen]
    found = replace_features(clean, taken, means)
    expected = plain.rewards({sae.layer: at_mean(sae, means) for sae in taken})
    assert np.abs(expected - clean.rewards).max() > 1e-2
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_second_sae_of_one_block_replaces_what_the_first_left(lab, llama):
    sae, grid = lab.sae(1), lab.grid()
    twin = replace(sae, name="twin")
    clean = trace(llama, [sae, twin], grid)
    means = mean_features(clean, REFERENCE)
    first, second = at_mean(sae, means), at_mean(twin, means)
    expected = lab.plain(llama, grid).rewards({1: lambda _, s: second(_, first(_, s))})
    found = replace_features(clean, [sae, twin], means)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("chosen", [[0], [0, 1]])
def test_streams_at_their_means_equal_the_definition(llama, traced, chosen):
    saes, clean, plain = traced
    taken = [saes[number] for number in chosen]
    rows = torch.from_numpy(np.isin(clean.grid.layout.completion_row, REFERENCE))
    means = {sae.layer: clean.streams[sae.layer][rows].mean(0) for sae in taken}
    found = replace_streams(clean, taken, REFERENCE)
    expected = plain.rewards(
        {
            layer: lambda _, stream, mean=mean: mean.expand_as(stream)
            for layer, mean in means.items()
        }
    )
    assert np.abs(expected - clean.rewards).max() > 1e-2
    np.testing.assert_allclose(found, expected, atol=1e-5)
