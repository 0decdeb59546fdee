"""A PM with lasting edits against hooks on the transformers model itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from pm_audit.errors import SaeError
from pm_audit.forward.edits import Changes, Members, plan
from pm_audit.forward.splice import replay, replay_noise
from pm_audit.forward.trace import trace
from pm_audit.subject.activation import TopK
from pm_audit.subject.stream_edit import StreamEdit
from tests.engine_lab import DEPTH, Plain, build_grid, build_pm, build_sae, places

torch.set_num_threads(1)

LATENTS = [3, 11, 40]
GRID = build_grid(end=(1, 2))


def edit_of(layer: int, **settings) -> StreamEdit:
    torch.manual_seed(layer)
    sae = build_sae(layer, **settings)
    return StreamEdit(sae=sae, latents=torch.tensor(LATENTS), level=torch.rand(3, len(LATENTS)))


def by_hand(edit: StreamEdit):
    """Return the edit as it is defined: the change of what the features decode to."""

    def change(row: int, stream: torch.Tensor) -> torch.Tensor:
        encoding = edit.sae.encode(stream)
        put = encoding.features.clone()
        put[:, LATENTS] = edit.level[places(GRID.rows[row])]
        decoded = edit.sae.decode(replace(encoding, features=put))
        return stream - edit.sae.decode(encoding) + decoded

    return change


@pytest.mark.parametrize("kind", ["llama", "gpt-j", "gemma2-softcap"])
@pytest.mark.parametrize("layer", [0, 1, DEPTH - 1])
@pytest.mark.parametrize("activation", [None, TopK(8)], ids=["relu", "topk"])
def test_rewards_are_those_of_hooks(kind, layer, activation):
    pm, edit = build_pm(kind), edit_of(layer, activation=activation)
    found = trace(replace(pm, edits=(edit,)), (), GRID).rewards
    expected = Plain(pm, GRID).rewards({layer: by_hand(edit)})
    assert found == pytest.approx(expected, abs=2e-5)
    assert np.abs(found - Plain(pm, GRID).rewards()).max() > 1e-3


def test_two_edits_follow_each_other():
    pm, low, high = build_pm(), edit_of(0), edit_of(2)
    found = trace(replace(pm, edits=(low, high)), (), GRID).rewards
    expected = Plain(pm, GRID).rewards({0: by_hand(low), 2: by_hand(high)})
    assert found == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize("layer", [2, DEPTH - 1])
def test_replays_from_below_pass_through_the_edit(layer):
    pm, edit = build_pm(), edit_of(layer)
    sae = build_sae(0)
    clean = trace(replace(pm, edits=(edit,)), (sae,), GRID)
    assert replay_noise(clean, 0) < 2e-5
    everything = np.arange(sae.width)
    members = Members(sae, np.zeros(sae.width, dtype=np.int64), everything)
    planned = plan(clean, [Changes.of(clean, members, np.arange(len(GRID)))])
    after = replay(clean, planned.jobs, planned.edits)

    def without_features(row: int, stream: torch.Tensor) -> torch.Tensor:
        encoding = sae.encode(stream)
        return stream - encoding.features @ sae.W_dec

    expected = Plain(pm, GRID).rewards({0: without_features, layer: by_hand(edit)})
    assert after == pytest.approx(expected[planned.jobs.row], abs=2e-5)


@pytest.mark.parametrize(
    ("latents", "level", "said"),
    [
        ([64], torch.zeros(1, 1), "feature 64: block0 has 0 to 63"),
        ([], torch.zeros(1, 0), "no feature"),
        ([1, 2], torch.zeros(2, 1), "expected a row of 2 a place"),
        ([1], torch.full((1, 1), torch.nan), "not finite"),
    ],
)
def test_an_edit_that_does_not_fit_is_refused(latents, level, said):
    with pytest.raises(SaeError, match=said):
        StreamEdit(sae=build_sae(0), latents=torch.tensor(latents, dtype=torch.long), level=level)
