"""Replacing all that SAEs read, at one layer or at several, against plain hooks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pm_audit.interventions.ablation import ablate_sets
from pm_audit.interventions.reconstruction import replace_all
from pm_audit.interventions.replacements import contrast_features, zero_features
from pm_audit.records import Feature
from pm_audit.subject.activation import TopK
from pm_audit.subject.sae import Normalisation

PARTS = {
    "features": {},
    "all but a set": {"but": [3, 5, 8, 13]},
    "error": {"features": False, "error": True},
    "features and error": {"error": True},
    "all but a set, and error": {"but": [3, 5, 8, 13], "error": True},
    "nothing": {"features": False},
}
KINDS = {
    "plain": {},
    "layer norm": {"normalisation": Normalisation.LAYER_NORM},
    "topk": {"activation": TopK(k=9)},
}


def of(sae, indices):
    return [Feature(sae=sae.name, layer=sae.layer, index=index) for index in indices]


@pytest.mark.parametrize("parts", PARTS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chosen", [[0], [1], [0, 1]])
def test_parts_at_their_targets_equal_the_definition(lab, llama, chosen, kind, parts):
    saes = [lab.sae(0, **KINDS[kind]), lab.sae(2, **KINDS[kind])]
    experiment = lab.experiment(llama, *saes)
    clean, settings = experiment.trace, dict(PARTS[parts])
    kept = settings.get("but", [])
    taken = [saes[number] for number in chosen]
    targets = contrast_features(experiment)
    expected = lab.plain(llama, clean.grid).rewards(
        {sae.layer: lab.wanted.contrast(experiment, sae).everything(**settings) for sae in taken}
    )
    settings["but"] = [one for sae in taken for one in of(sae, kept)]
    found = replace_all(clean, taken, targets, **settings)
    np.testing.assert_allclose(found, expected, atol=2e-5)
    assert (np.abs(found - clean.rewards).max() > 1e-2) == (parts != "nothing")
    part = replace_all(clean, taken, targets, rows=[7, 2], **settings)
    np.testing.assert_allclose(part, found[[7, 2]], atol=2e-6)


def test_a_second_sae_of_one_block_replaces_what_the_first_left(lab, llama):
    sae = lab.sae(1)
    twin = replace(sae, name="twin")
    experiment = lab.experiment(llama, sae, twin)
    first = lab.wanted.contrast(experiment, sae).everything()
    second = lab.wanted.contrast(experiment, twin).everything()
    expected = lab.plain(llama, experiment.trace.grid).rewards(
        {1: lambda row, stream: second(row, first(row, stream))}
    )
    found = replace_all(experiment.trace, [sae, twin], contrast_features(experiment))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("replacement", [contrast_features, lambda one: zero_features(one.trace)])
def test_all_but_the_complement_is_the_sets_ablation(lab, llama, replacement):
    sae = lab.sae(1, normalisation=Normalisation.CONSTANT_NORM)
    experiment = lab.experiment(llama, sae)
    targets, chosen = replacement(experiment), {3, 5, 8, 13}
    others = of(sae, set(range(sae.width)) - chosen)
    found = replace_all(experiment.trace, [sae], targets, but=others)
    expected = ablate_sets(experiment.trace, [of(sae, chosen)], targets=targets)[0]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    everything = ablate_sets(experiment.trace, [of(sae, range(sae.width))], targets=targets)[0]
    np.testing.assert_allclose(replace_all(experiment.trace, [sae], targets), everything, atol=1e-5)
