"""Real ablation against the plain way, and the cases with exact answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from pm_audit.errors import SaeError
from pm_audit.forward.splice import completion_jobs, replay
from pm_audit.forward.trace import trace
from pm_audit.interventions.ablation import ablate_each, ablate_sets
from pm_audit.interventions.replacements import mean_features
from pm_audit.records import Feature
from pm_audit.subject.activation import JumpRelu, TopK
from pm_audit.subject.sae import Normalisation


def features(sae, indices):
    return [Feature(sae=sae.name, layer=sae.layer, index=index) for index in indices]


def replaced(sae, indices, values=None):
    """Return the edit x - (decode(f) - decode(f with S replaced)), as it is written."""

    def edit(_: int, stream: torch.Tensor) -> torch.Tensor:
        encoding = sae.encode(stream)
        changed = encoding.features.clone()
        changed[:, indices] = 0.0 if values is None else values[indices]
        return stream - (sae.decode(encoding) - sae.decode(encoding.with_features(changed)))

    return edit


@pytest.mark.parametrize("normalisation", list(Normalisation))
@pytest.mark.parametrize("layer", [0, 2, 3])
def test_a_set_ablated_to_zero_equals_the_definition(lab, llama, layer, normalisation):
    grid, sae = lab.grid(), lab.sae(layer, normalisation=normalisation)
    clean = trace(llama, [sae], grid)
    chosen = [3, 5, 8, 13, 21, 34]
    found = ablate_sets(clean, [features(sae, chosen)])[0]
    expected = lab.plain(llama, grid).rewards({layer: replaced(sae, chosen)})
    assert np.abs(expected - clean.rewards).max() > 1e-2
    np.testing.assert_allclose(found, expected, atol=5e-6)


def test_a_set_ablated_to_its_mean_equals_the_definition(lab, llama):
    grid, sae = lab.grid(), lab.sae(1)
    clean = trace(llama, [sae], grid)
    reference = [0, 1, 5]
    means = mean_features(clean, reference)
    dense = sae.encode(clean.streams[1]).features
    rows = torch.from_numpy(np.isin(grid.layout.completion_row, reference))
    torch.testing.assert_close(means[sae.name].value, dense[rows].mean(0), atol=1e-6, rtol=1e-5)
    chosen = [3, 5, 8, 13]
    found = ablate_sets(clean, [features(sae, chosen)], targets=means)[0]
    edit = replaced(sae, chosen, means[sae.name].value)
    np.testing.assert_allclose(found, lab.plain(llama, grid).rewards({1: edit}), atol=5e-6)


@dataclass(frozen=True)
class ByToken:
    """The same values at every token, through the way of those that differ by token."""

    value: torch.Tensor

    def at(self, token, latent):
        return torch.stack([self.value[latent] for _ in token])


@pytest.mark.parametrize("activation", [None, TopK(k=9), JumpRelu(torch.full((64,), 0.4))])
@pytest.mark.parametrize("replacement", ["zero", "mean", "by token"])
def test_a_set_over_several_layers_reencodes_what_the_lower_one_changed(
    lab, llama, activation, replacement
):
    grid = lab.grid()
    low, high = lab.sae(0), lab.sae(2, activation=activation)
    twin = lab.sae(0, name="twin", seed=5)
    clean = trace(llama, [low, high, twin], grid)
    means = None if replacement == "zero" else mean_features(clean, [0, 1, 2])
    values = {sae.name: means[sae.name].value if means else None for sae in (low, high, twin)}
    if replacement == "by token":
        means = {name: ByToken(value) for name, value in values.items()}
    chosen = list(range(0, 64, 3))
    sets = [
        features(low, chosen) + features(high, chosen),
        features(high, chosen[:4]) + features(low, chosen[:2]),
        features(low, chosen) + features(twin, chosen) + features(high, chosen),
    ]
    found = ablate_sets(clean, sets, targets=means)
    plain = lab.plain(llama, grid)
    for row, (below, above, also) in zip(
        found, [(chosen, chosen, []), (chosen[:2], chosen[:4], []), (chosen,) * 3], strict=True
    ):

        def both(index, stream, below=below, also=also):
            first = replaced(low, below, values["block0"])(index, stream) - stream
            second = replaced(twin, also, values["twin"])(index, stream) - stream
            return stream + first + second

        edits = {0: both, 2: replaced(high, above, values["block2"])}
        np.testing.assert_allclose(row, plain.rewards(edits), atol=1e-5)
    assert np.abs(found - clean.rewards).max() > 1e-2


def test_the_frozen_scale_is_the_clean_ones(lab, llama):
    grid = lab.grid()
    low, high = lab.sae(0), lab.sae(2, normalisation=Normalisation.CONSTANT_NORM)
    clean = trace(llama, [low, high], grid)
    found = ablate_sets(clean, [features(low, range(30)) + features(high, range(30))])[0]
    scales = clean.features["block2"].scale

    def above(index, stream):
        own = slice(*grid.layout.completion_offsets[index : index + 2])
        values = high.encode(stream).features[:, :30]
        return stream - scales[own, None] * (values @ high.W_dec[:30])

    expected = lab.plain(llama, grid).rewards({0: replaced(low, list(range(30))), 2: above})
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_an_empty_or_inactive_set_changes_rewards_by_exactly_nothing(lab, llama):
    sae = lab.sae(1)
    inactive = [4, 20, 63]
    sae.b_enc[inactive] = -100.0
    clean = trace(llama, [sae], lab.grid())
    found = ablate_sets(clean, [[], features(sae, inactive)])
    assert (found == clean.rewards).all()
    assert len(ablate_each(clean, sae, inactive).row) == 0


def test_an_edit_that_removes_nothing_leaves_the_stream_bit_for_bit(lab, llama):
    grid, sae = lab.grid(), lab.sae(1)
    clean = trace(llama, [sae], grid)
    seen = []

    def splice(batch, stream):
        encoding = sae.encode(stream)
        same = encoding.with_features(encoding.features.clone())
        changed = stream - (sae.decode(encoding) - sae.decode(same))
        seen.append(torch.equal(changed, stream))
        return changed

    jobs = completion_jobs(clean, np.arange(len(grid)))
    again = replay(clean, jobs, {1: splice})
    assert all(seen)
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


def test_planning_in_portions_changes_nothing(lab, llama, monkeypatch):
    sae = lab.sae(1)
    clean = trace(llama, [sae], lab.grid())
    sets = [features(sae, range(first, 64, 7)) for first in range(7)]
    whole = ablate_sets(clean, sets)
    monkeypatch.setattr("pm_audit.interventions.ablation._ENTRIES_A_PLAN", 20)
    monkeypatch.setattr("pm_audit.forward.edits._ENTRIES_AT_ONCE", 3)
    np.testing.assert_allclose(ablate_sets(clean, sets), whole, atol=2e-6)
    means = mean_features(clean, [0])
    kept = ablate_sets(clean, sets, targets=means)
    assert kept.shape == whole.shape


def test_a_feature_outside_its_sae_is_refused(lab, llama):
    sae = lab.sae(1)
    clean = trace(llama, [sae], lab.grid())
    with pytest.raises(SaeError, match=r"feature 64 is outside SAE 'block1' \(0 to 63\)"):
        ablate_each(clean, sae, [1, 64])
