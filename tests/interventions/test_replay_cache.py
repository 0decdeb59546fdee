"""What is known is not run again, and what comes back is what a run would give."""

from __future__ import annotations

import numpy as np
import pytest

from pm_audit.forward.trace import trace
from pm_audit.interventions import ablation
from pm_audit.interventions.ablation import ablate_each, ablate_sets
from pm_audit.interventions.replacements import mean_features
from pm_audit.interventions.replay_cache import ReplayCache
from pm_audit.records import Feature


@pytest.fixture
def replayed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Jobs of each replay."""
    jobs: list[int] = []
    original = ablation.replay

    def counted(clean, planned, edits):
        jobs.append(len(planned))
        return original(clean, planned, edits)

    monkeypatch.setattr(ablation, "replay", counted)
    return jobs


def of(sae, *indices):
    return tuple(Feature(sae=sae.name, layer=sae.layer, index=index) for index in indices)


def firing(clean, sae):
    """Return the rows in which each latent fires."""
    rows = clean.row_of_token()[clean.features[sae.name].token.numpy()]
    latents = clean.features[sae.name].latent.numpy()
    return {int(one): set(rows[latents == one].tolist()) for one in np.unique(latents)}


def test_sets_that_agree_on_what_fires_are_run_once(lab, llama, replayed):
    sae = lab.sae(1)
    clean = trace(llama, [sae], lab.grid())
    rows = firing(clean, sae)
    partly = [latent for latent in rows if 0 < len(rows[latent]) < len(clean.grid)]
    first, second, third = partly[:3]
    sets = [of(sae, first), of(sae, first, second), of(sae, second, first), of(sae, third, first)]
    expected = ablate_sets(clean, sets)
    everything = replayed.pop()
    cache = ReplayCache()
    np.testing.assert_allclose(ablate_sets(clean, sets, cache=cache), expected, atol=1e-5)
    fired = {
        (row, frozenset(one.index for one in members if row in rows[one.index]))
        for members in sets
        for row in range(len(clean.grid))
    }
    assert replayed == [sum(1 for _, members in fired if members)]
    assert replayed[0] < everything
    np.testing.assert_allclose(ablate_sets(clean, sets, cache=cache), expected, atol=1e-5)
    assert len(replayed) == 1


def test_single_ablations_are_known_to_the_joint_ones(lab, llama, replayed):
    sae = lab.sae(1)
    clean = trace(llama, [sae], lab.grid())
    cache = ReplayCache()
    latents = sorted(firing(clean, sae))[:6]
    effects = ablate_each(clean, sae, latents, cache=cache)
    singles = clean.rewards - effects.dense(latents, np.arange(len(clean.grid)))
    replayed.clear()
    joint = ablate_sets(clean, [of(sae, latent) for latent in latents], cache=cache)
    np.testing.assert_array_equal(joint, singles)
    assert not replayed


def test_means_and_several_saes_are_always_run(lab, llama, replayed):
    below, above = lab.sae(0), lab.sae(2)
    clean = trace(llama, [below, above], lab.grid())
    cache = ReplayCache()
    both = [of(below, 3) + of(above, 5)]
    ablate_each(clean, below, [3], cache=cache)
    np.testing.assert_allclose(
        ablate_sets(clean, both, cache=cache), ablate_sets(clean, both), atol=1e-6
    )
    means = mean_features(clean, [0])
    for store in (cache, None):
        found = ablate_sets(clean, [of(below, 3)], targets=means, cache=store)
        assert np.abs(found - clean.rewards).max() > 0
    assert len(replayed) == 5


def test_nothing_that_fires_leaves_the_rewards_as_they_are(lab, llama, replayed):
    sae = lab.sae(1)
    clean = trace(llama, [sae], lab.grid())
    everywhere = set(range(len(clean.grid)))
    latent, inactive = next(
        (latent, sorted(everywhere - rows))
        for latent, rows in firing(clean, sae).items()
        if everywhere - rows
    )
    found = ablate_sets(clean, [of(sae, latent)], rows=inactive, cache=ReplayCache())
    np.testing.assert_array_equal(found[0], clean.rewards[inactive])
    assert not replayed
