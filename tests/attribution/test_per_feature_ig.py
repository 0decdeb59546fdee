"""Per-feature paths approximate that feature's own ablation, in the limit exactly."""

from __future__ import annotations

import numpy as np
import pytest

from pm_audit.attribution.integrated_gradients import Method, attribute
from pm_audit.attribution.per_feature_ig import attribute_per_feature, large_norm_latents
from pm_audit.forward.trace import trace
from pm_audit.interventions.ablation import ablate_each
from pm_audit.interventions.replacements import contrast_features
from pm_audit.subject.sae import Normalisation


@pytest.mark.parametrize("replacement", ["contrast", "zero"])
def test_many_steps_reach_the_ablation(lab, llama, replacement):
    sae = lab.sae(1, normalisation=Normalisation.CONSTANT_NORM)
    experiment = lab.experiment(llama, sae)
    clean = experiment.trace
    targets = contrast_features(experiment) if replacement == "contrast" else None
    latents = np.array([7, 3, 50])
    real = ablate_each(clean, sae, latents, targets=targets)
    errors = []
    for steps in (1, 4, 64):
        found = attribute_per_feature(clean, sae, latents, steps=steps, targets=targets)
        assert (found.latent == real.latent).all()
        assert (found.row == real.row).all()
        errors.append(np.abs(found.value - real.contribution).max())
    assert errors[2] < errors[0]
    assert errors[2] < 5e-3
    assert np.abs(real.contribution).max() > 0.1


def test_a_feature_of_large_norm_is_judged_better_by_its_own_path(lab, llama):
    sae = lab.sae(1)
    sae.W_dec[9] *= 30
    clean = trace(llama, [sae], lab.grid())
    assert large_norm_latents(clean, sae, most=3)[0] == 9
    real = ablate_each(clean, sae, [9]).dense([9], range(12))[0]
    atp = attribute(clean, sae, method=Method.ATP)
    own = atp.latent == 9
    plain = np.bincount(atp.row[own], atp.value[own], minlength=12)
    alone = attribute_per_feature(clean, sae, [9], steps=64)
    own = np.zeros(12)
    own[alone.row] = alone.value
    assert np.abs(own - real).mean() < 0.2 * np.abs(plain - real).mean()


def test_inactive_latents_have_no_attributions(lab, llama):
    sae = lab.sae(1)
    sae.b_enc[5] = -100.0
    clean = trace(llama, [sae], lab.grid())
    assert len(attribute_per_feature(clean, sae, [5]).value) == 0
    assert 5 not in large_norm_latents(clean, sae, most=64)
