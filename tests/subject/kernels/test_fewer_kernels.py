"""A body whose blocks run in few kernels gives the rewards and gradients of one that does not."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from pm_audit.attribution.integrated_gradients import attribute
from pm_audit.forward.trace import trace
from pm_audit.subject.kernels import fewer_kernels
from tests.engine_lab import build_grid, build_pm, build_sae


def results(pm):
    sae = build_sae(1)
    clean = trace(pm, [sae], build_grid())
    return clean.rewards, attribute(clean, sae).value


@pytest.mark.parametrize("family", ["llama", "qwen3", "phi", "gemma2-softcap"])
def test_rewards_and_gradients_stay_what_they_were(monkeypatch, family):
    taken = []
    halved = fewer_kernels.halved
    monkeypatch.setattr(fewer_kernels, "halved", lambda found: taken.append(found) or halved(found))
    found = results(build_pm(family))
    assert any(taken)
    monkeypatch.setattr(fewer_kernels, "fusible_norms", lambda _: ())
    monkeypatch.setattr(fewer_kernels, "rotating_modules", lambda _: ())
    expected = results(build_pm(family))
    for one, other in zip(found, expected, strict=True):
        assert np.allclose(one, other, atol=1e-5)


def test_all_is_put_back_and_no_body_is_kept_alive():
    pm = build_pm()
    block = pm.decoder.blocks[0]
    with fewer_kernels.fewer_kernels(block):
        assert sum("forward" in vars(part) for part in block.modules()) == 2
    assert not any("forward" in vars(part) for part in block.modules())
    assert len(fewer_kernels._known[block].rotations) == 1
    before = len(fewer_kernels._known)
    del pm, block
    gc.collect()
    assert len(fewer_kernels._known) < before
