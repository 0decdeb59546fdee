"""What is known is not run again, and what comes back is what a run would give."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from pm_audit.forward.grid import Grid, Row
from pm_audit.interventions import ablation
from pm_audit.interventions.ablation import ablate_each, ablate_sets
from pm_audit.interventions.replacements import contrast_features, zero_features
from pm_audit.interventions.replay_cache import ReplayCache
from pm_audit.records import Feature


@pytest.fixture
def replayed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Jobs and tokens of each replay."""
    replays: list[tuple[int, int]] = []
    original = ablation.replay

    def counted(clean, jobs, edits):
        replays.append((len(jobs), int((jobs.stop - jobs.start).sum())))
        return original(clean, jobs, edits)

    monkeypatch.setattr(ablation, "replay", counted)
    return replays


@pytest.fixture(params=["zero", "contrast"])
def traced(request, lab, llama):
    """An SAE, its experiment, the targets, and where they differ from features [row] of [token
    latent]."""
    sae = lab.sae(1)
    experiment = lab.experiment(llama, sae)
    if request.param == "zero":
        targets = zero_features(experiment.trace)
        wanted = lab.wanted.constant(experiment, sae, 0.0)
    else:
        targets = contrast_features(experiment)
        wanted = lab.wanted.contrast(experiment, sae)
    features = sae.encode(experiment.trace.streams[1]).features
    offsets = experiment.trace.grid.layout.completion_offsets
    clean = [features[first:after] for first, after in itertools.pairwise(offsets)]
    pairs = zip(clean, wanted.feature, strict=True)
    return sae, experiment.trace, targets, [(one - other).abs() > 1e-6 for one, other in pairs]


def of(sae, *indices):
    return tuple(Feature(sae=sae.name, layer=sae.layer, index=index) for index in indices)


def partly(differs):
    """Return latents that change in some rows and not in others, the fewest rows first."""
    rows = torch.stack([one.any(0) for one in differs]).sum(0)
    some = ((rows > 0) & (rows < len(differs))).nonzero()[:, 0]
    return some[rows[some].argsort(stable=True)].tolist()


def test_sets_that_agree_on_what_changes_are_run_once(traced, replayed):
    sae, clean, targets, differs = traced
    first, second, third = partly(differs)[:3]
    sets = [of(sae, first), of(sae, first, second), of(sae, second, first), of(sae, third, first)]
    expected = ablate_sets(clean, sets, targets=targets)
    ((everything, _),) = replayed
    replayed.clear()
    cache = ReplayCache()
    found = ablate_sets(clean, sets, targets=targets, cache=cache)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    changed = {
        (row, frozenset(one.index for one in members if bool(rows[:, one.index].any())))
        for members in sets
        for row, rows in enumerate(differs)
    }
    assert replayed[0][0] == sum(1 for _, members in changed if members) < everything
    again = ablate_sets(clean, sets, targets=targets, cache=cache)
    np.testing.assert_allclose(again, expected, atol=1e-5)
    assert len(replayed) == 1


def test_single_ablations_are_known_to_the_joint_ones(traced, replayed):
    sae, clean, targets, differs = traced
    cache = ReplayCache()
    latents = partly(differs)[:6]
    effects = ablate_each(clean, sae, latents, targets=targets, cache=cache)
    singles = clean.rewards - effects.dense(latents, np.arange(len(clean.grid)))
    replayed.clear()
    sets = [of(sae, latent) for latent in latents]
    joint = ablate_sets(clean, sets, targets=targets, cache=cache)
    np.testing.assert_array_equal(joint, singles)
    assert not replayed


def test_sets_of_several_saes_are_known_by_all_that_may_change(lab, llama, replayed):
    low, high = lab.sae(0), lab.sae(2)
    clean = lab.experiment(llama, low, high).trace
    cache, sets, active = ReplayCache(), [], []
    for sae in (low, high):
        features, row = clean.features[sae.name], clean.row_of_token()
        by_latent = [
            set(row[features.token_here[features.latent_here == latent]].tolist())
            for latent in range(sae.width)
        ]
        latent = next(at for at, rows in enumerate(by_latent) if 2 < len(rows) < 10)
        sets.append(of(sae, latent))
        active.append(by_latent[latent])
    below, above = active
    assert below & above
    assert above - below
    sets += [sets[0] + sets[1], sets[1] + sets[0]]
    expected = ablate_sets(clean, sets)
    replayed.clear()
    found = ablate_sets(clean, sets, cache=cache)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    # where the lower feature is inactive, the pair is the upper one alone
    assert sum(jobs for jobs, _ in replayed) == len(below) + len(above) + len(below)
    replayed.clear()
    np.testing.assert_array_equal(ablate_sets(clean, sets, cache=cache), found)
    assert not replayed


def test_rows_whose_features_equal_their_targets_are_not_run(traced, replayed):
    sae, clean, targets, differs = traced
    latent = partly(differs)[0]
    same = [row for row, one in enumerate(differs) if not one[:, latent].any()]
    for cache in (None, ReplayCache()):
        found = ablate_sets(clean, [of(sae, latent)], rows=same, targets=targets, cache=cache)
        np.testing.assert_array_equal(found[0], clean.rewards[same])
    assert not any(jobs for jobs, _ in replayed)


def test_only_tokens_from_the_first_changed_one_are_run(traced, replayed):
    sae, clean, targets, differs = traced
    latents = partly(differs)
    for latent in latents:
        replayed.clear()
        ablate_sets(clean, [of(sae, latent)], targets=targets)
        changed = [one[:, latent].nonzero()[:, 0] for one in differs]
        run = [(one, len(rows)) for one, rows in zip(changed, differs, strict=True) if len(one)]
        tokens = sum(total - int(one[0]) for one, total in run)
        assert replayed == [(len(run), tokens)]
    whole = sum(len(rows) for rows in differs)
    assert replayed[0][1] < whole


def test_a_lone_counter_example_is_its_own_contrast(lab, llama, replayed):
    # one token of its own, and each end token apart: nothing differs from its mean
    grid = Grid((Row(0, (5, 6, 7, 1, 2), 2, 3), Row(0, (5, 6, 8, 1, 2), 2, 3)))
    sae = lab.sae(1)
    experiment = lab.experiment(llama, sae, grid=grid)
    targets, everything = contrast_features(experiment), of(sae, *range(sae.width))
    found = ablate_sets(experiment.trace, [everything], targets=targets)[0]
    assert found[1] == experiment.rewards[1]
    # the same text before it leaves the example with the same stream but for its own token
    assert abs(found[0] - experiment.rewards[0]) > 1e-2
    assert replayed == [(1, 3)]
