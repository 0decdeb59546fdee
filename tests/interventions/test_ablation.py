"""Real ablation against the plain way, and the cases with exact answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pm_audit.errors import SaeError
from pm_audit.forward.contrast import Contrast
from pm_audit.forward.experiment import Experiment
from pm_audit.forward.grid import Grid, Row
from pm_audit.forward.splice import completion_jobs, replay
from pm_audit.forward.trace import trace
from pm_audit.interventions.ablation import ablate_each, ablate_sets
from pm_audit.interventions.replacements import (
    contrast_features,
    mean_features,
    resampled_features,
    zero_features,
)
from pm_audit.records import Feature
from pm_audit.subject.activation import JumpRelu, TopK
from pm_audit.subject.sae import Normalisation
from tests.engine_lab import ROLES

CHOSEN = [3, 5, 8, 13, 21, 34]
KINDS = {
    "plain": {},
    "layer norm": {"normalisation": Normalisation.LAYER_NORM},
    "constant norm": {"normalisation": Normalisation.CONSTANT_NORM},
    "centred": {"centred": True},
    "skip": {"W_skip": 0.1 * torch.ones(32, 32)},
    "topk": {"activation": TopK(k=9)},
    "jump": {"activation": JumpRelu(torch.full((64,), 0.4))},
}


def features(sae, indices):
    return [Feature(sae=sae.name, layer=sae.layer, index=index) for index in indices]


def replacements(lab, experiment, *saes):
    """Return (targets, what they must be for each SAE) of every replacement, by name."""
    clean = experiment.trace
    means = {
        sae.name: lab.wanted.constant(
            experiment,
            sae,
            sae.encode(clean.streams[sae.layer]).features[tokens_of(clean, [0, 1])].mean(0),
        )
        for sae in saes
    }
    return {
        "contrast": (
            contrast_features(experiment),
            {sae.name: lab.wanted.contrast(experiment, sae) for sae in saes},
        ),
        "resample": (
            resampled_features(experiment),
            {sae.name: lab.wanted.contrast(experiment, sae, shift=1) for sae in saes},
        ),
        "mean": (mean_features(clean, [0, 1]), means),
        "zero": (
            zero_features(clean),
            {sae.name: lab.wanted.constant(experiment, sae, 0.0) for sae in saes},
        ),
    }


def tokens_of(clean, rows):
    return torch.from_numpy(np.isin(clean.row_of_token(), rows))


@pytest.mark.parametrize("replacement", ["contrast", "resample", "mean", "zero"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layer", [0, 3])
def test_an_ablated_set_equals_the_definition(lab, llama, layer, kind, replacement):
    sae = lab.sae(layer, **KINDS[kind])
    experiment = lab.experiment(llama, sae)
    clean = experiment.trace
    targets, wanted = replacements(lab, experiment, sae)[replacement]
    found = ablate_sets(clean, [features(sae, CHOSEN)], targets=targets)[0]
    edits = {layer: wanted[sae.name].ablation(CHOSEN)}
    expected = lab.plain(llama, clean.grid).rewards(edits)
    assert np.abs(expected - clean.rewards).max() > 1e-2
    np.testing.assert_allclose(found, expected, atol=2e-5)
    single = ablate_each(clean, sae, CHOSEN, targets=targets)
    alone = lab.plain(llama, clean.grid).rewards({layer: wanted[sae.name].ablation([8])})
    np.testing.assert_allclose(
        clean.rewards - single.dense([8], np.arange(len(alone)))[0], alone, atol=2e-5
    )


@pytest.mark.parametrize("replacement", ["contrast", "resample", "mean", "zero"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_set_over_several_layers_reencodes_what_the_lower_one_changed(
    lab, llama, kind, replacement
):
    low, high = lab.sae(0), lab.sae(2, **KINDS[kind])
    twin = lab.sae(0, name="twin", seed=5)
    experiment = lab.experiment(llama, low, high, twin)
    clean = experiment.trace
    targets, wanted = replacements(lab, experiment, low, high, twin)[replacement]
    chosen = list(range(0, 64, 3))
    sets = [
        features(low, chosen) + features(high, chosen),
        features(high, chosen[:4]) + features(low, chosen[:2]),
        features(low, chosen) + features(twin, chosen) + features(high, chosen),
    ]
    found = ablate_sets(clean, sets, targets=targets)
    plain = lab.plain(llama, clean.grid)
    for row, (below, above, also) in zip(
        found, [(chosen, chosen, []), (chosen[:2], chosen[:4], []), (chosen,) * 3], strict=True
    ):

        def both(index, stream, below=below, also=also):
            first = wanted["block0"].ablation(below)(index, stream)
            return first + wanted["twin"].ablation(also)(index, stream) - stream

        edits = {0: both, 2: wanted["block2"].ablation(above)}
        np.testing.assert_allclose(row, plain.rewards(edits), atol=1e-5)
    assert np.abs(found - clean.rewards).max() > 1e-2


def test_wordings_of_one_prompt_share_its_counter_examples(lab, llama):
    sae, grid = lab.sae(1), lab.grid(prompts=4, end=(1, 2))
    roles = list(ROLES) * 4
    # two wordings a prompt: texts of their own, one unit of inference
    contrast = Contrast(np.array([row.prompt for row in grid.rows]) // 2, roles)
    experiment = Experiment(trace(llama, [sae], grid), contrast)
    targets, wanted = contrast_features(experiment), lab.wanted.contrast(experiment, sae)
    table = targets[sae.name].at(
        torch.arange(len(grid.layout.completion_row)), torch.arange(sae.width)
    )
    torch.testing.assert_close(table, torch.cat(wanted.feature), atol=1e-5, rtol=1e-5)
    found = ablate_sets(experiment.trace, [features(sae, CHOSEN)], targets=targets)[0]
    expected = lab.plain(llama, grid).rewards({1: wanted.ablation(CHOSEN)})
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_a_mean_is_the_sum_over_all_tokens_by_their_number(lab, llama):
    sae = lab.sae(1)
    clean = lab.experiment(llama, sae).trace
    chosen = tokens_of(clean, [0, 1, 5])
    by_hand = sae.encode(clean.streams[1]).features[chosen].double().sum(0) / int(chosen.sum())
    own = mean_features(clean, [0, 1, 5])[sae.name]
    found = own.at(torch.tensor([0]), torch.arange(sae.width))[0]
    np.testing.assert_array_max_ulp(found.numpy(), by_hand.float().numpy(), 1)


def test_rows_without_tokens_of_their_own_take_part(lab, llama):
    # an empty example, and an empty counter-example next to one with a text
    grid = Grid(
        (
            Row(0, (5, 6, 7, 1, 2), 3, 3),
            Row(0, (5, 6, 7, 8, 9, 1, 2), 3, 5),
            Row(0, (5, 6, 7, 1, 2), 3, 3),
            Row(1, (5, 6, 8), 3),
            Row(1, (5, 6, 8, 9), 3),
            Row(1, (5, 6, 8), 3),
        )
    )
    sae = lab.sae(1)
    experiment = lab.experiment(llama, sae, grid=grid)
    targets, wanted = contrast_features(experiment), lab.wanted.contrast(experiment, sae)
    found = ablate_sets(experiment.trace, [features(sae, CHOSEN)], targets=targets)[0]
    expected = lab.plain(llama, grid).rewards({1: wanted.ablation(CHOSEN)})
    np.testing.assert_allclose(found, expected, atol=5e-6)
    changed = np.abs(found - experiment.rewards) > 1e-4
    # two empty texts under one prompt leave their end tokens' mean between the two others
    assert changed.tolist() == [True, True, True, False, False, False]


def test_an_empty_or_inactive_set_changes_rewards_by_exactly_nothing(lab, llama):
    sae = lab.sae(1)
    inactive = [4, 20, 63]
    sae.b_enc[inactive] = -100.0
    clean = trace(llama, [sae], lab.grid())
    found = ablate_sets(clean, [[], features(sae, inactive)])
    assert (found == clean.rewards).all()
    assert len(ablate_each(clean, sae, inactive).row) == 0


def test_a_replay_of_the_stream_as_it_is_changes_nothing(lab, llama):
    sae = lab.sae(1)
    clean = trace(llama, [sae], lab.grid())
    jobs = completion_jobs(clean, np.arange(len(clean.grid)))
    again = replay(clean, jobs, {1: lambda _, stream: stream})
    np.testing.assert_allclose(again, clean.rewards, atol=1e-6)


def test_rows_and_sets_are_answered_in_the_order_asked(lab, llama):
    sae = lab.sae(1)
    clean = trace(llama, [sae], lab.grid())
    sets = [features(sae, [latent]) for latent in (9, 2, 40)]
    whole = ablate_sets(clean, sets)
    part = ablate_sets(clean, sets, rows=[7, 0, 4])
    np.testing.assert_allclose(part, whole[:, [7, 0, 4]], atol=2e-6)
    single = ablate_each(clean, sae, [40, 9, 2], rows=[4, 7])
    expected = (clean.rewards - whole)[[2, 0, 1]][:, [4, 7]]
    np.testing.assert_allclose(single.dense([40, 9, 2], [4, 7]), expected, atol=2e-6)


@pytest.mark.parametrize("replacement", [contrast_features, lambda one: zero_features(one.trace)])
def test_planning_in_portions_changes_nothing(lab, llama, monkeypatch, replacement):
    sae, other = lab.sae(1), lab.sae(2)
    experiment = lab.experiment(llama, sae, other)
    clean, targets = experiment.trace, replacement(experiment)
    sets = [features(sae, range(first, 64, 7)) for first in range(7)]
    sets.append(features(sae, [3]) + features(other, [4]))
    whole = ablate_sets(clean, sets, targets=targets)
    single = ablate_each(clean, sae, range(20), targets=targets).dense(range(20), range(12))
    monkeypatch.setattr("pm_audit.interventions.ablation._ENTRIES_A_PLAN", 20)
    np.testing.assert_allclose(ablate_sets(clean, sets, targets=targets), whole, atol=2e-6)
    again = ablate_each(clean, sae, range(20), targets=targets).dense(range(20), range(12))
    np.testing.assert_allclose(again, single, atol=2e-6)


def test_a_feature_outside_its_sae_is_refused(lab, llama):
    sae = lab.sae(1)
    clean = trace(llama, [sae], lab.grid())
    with pytest.raises(SaeError, match=r"feature 64 is outside SAE 'block1' \(0 to 63\)"):
        ablate_each(clean, sae, [1, 64])
