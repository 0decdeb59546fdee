"""The splice: reconstruction, refusals, and a model that is left as it was found."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from pm_audit.attribution.integrated_gradients import attribute
from pm_audit.errors import NumericalError
from pm_audit.forward.grid import Grid, Row
from pm_audit.forward.splice import completion_jobs, replay, replay_noise, splice_reconstruction
from pm_audit.forward.trace import trace
from pm_audit.subject.sae import Normalisation


@pytest.mark.parametrize("normalisation", list(Normalisation))
def test_splicing_the_reconstruction_equals_hooks(lab, llama, normalisation):
    grid, sae = lab.grid(), lab.sae(2, normalisation=normalisation)
    clean = trace(llama, [sae], grid)
    found = splice_reconstruction(clean, sae)
    plain = lab.plain(llama, grid)
    expected = plain.rewards({2: lambda _, stream: sae.decode(sae.encode(stream))})
    np.testing.assert_allclose(found, expected, atol=5e-6)


def test_a_row_without_completion_keeps_its_reward(lab, llama):
    sae = lab.sae(2)
    grid = Grid((Row(0, (5, 6, 7), 3), Row(0, (5, 6, 7, 8), 3)))
    clean = trace(llama, [sae], grid)
    assert splice_reconstruction(clean, sae)[0] == clean.rewards[0]
    found = attribute(clean, sae)
    assert found.change[0] == found.completeness_gap[0] == 0
    assert found.change[1] != 0


def _state(pm):
    decoder = pm.decoder
    return (
        decoder.backbone.config._attn_implementation,
        [type(block) for block in decoder.blocks],
        [sorted(module.__dict__) for module in decoder.backbone.modules()],
        [len(module._forward_hooks) for module in decoder.backbone.modules()],
        dict(ALL_ATTENTION_FUNCTIONS._global_mapping),
    )


def test_the_model_is_as_before_after_work_and_after_an_exception(lab, family, family_pm):
    sae = lab.sae(1)
    before = _state(family_pm)
    clean = trace(family_pm, [sae], lab.grid())
    attribute(clean, sae)
    assert _state(family_pm) == before

    def fail(*_: object) -> torch.Tensor:
        raise KeyError("inside")

    jobs = completion_jobs(clean, np.arange(12))
    with pytest.raises(KeyError, match="inside"):
        replay(clean, jobs, {1: fail, 2: fail})
    with pytest.raises(KeyError, match="inside"):
        replay(clean, jobs, {1: lambda _, stream: stream, 2: fail})
    with pytest.raises(KeyError, match="inside"):
        family_pm.decoder.run(
            0,
            torch.zeros(3, lab.hidden),
            family_pm.decoder.inputs(torch.arange(3), torch.arange(3)),
            fail,
        )
    assert _state(family_pm) == before


def test_an_edit_to_nan_is_an_error(lab, llama):
    sae = lab.sae(1)
    clean = trace(llama, [sae], lab.grid())
    jobs = completion_jobs(clean, np.arange(2))
    with pytest.raises(NumericalError, match="2 of 2 rewards are not finite"):
        replay(clean, jobs, {1: lambda _, stream: stream * torch.nan})


def test_a_replay_that_replaces_nothing_tells_the_noise(lab, llama):
    sae = lab.sae(1)
    clean = trace(llama, [sae], lab.grid())
    assert replay_noise(clean, 1) < 2e-6
    # as large as what is wrong with one reward of the clean forward
    off = clean.rewards.copy()
    off[3] += 0.25
    shifted = dataclasses.replace(clean, rewards=off)
    assert replay_noise(shifted, 1) == pytest.approx(0.25, abs=1e-5)
    bare = Grid((Row(0, (5, 6, 7), 3),))
    assert replay_noise(trace(llama, [sae], bare), 1) == 0.0
