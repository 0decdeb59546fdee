"""A fit starts from the mean activation, whatever the activations' scale."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pm_audit.loading.saes.registry import load
from recipes.train.saes import SaeRecipe, fit_sae

torch.set_num_threads(1)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # sae-lens's own imports
@pytest.mark.parametrize("scale", [1e-2, 1.0, 1e3])
def test_activations_of_any_scale_are_reconstructed(tmp_path: Path, scale: float) -> None:
    generator = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(24, 16, generator=generator), dim=-1)
    used = torch.rand(6000, 24, generator=generator) * (
        torch.rand(6000, 24, generator=generator) < 0.1
    )
    far = 8 * torch.nn.functional.one_hot(torch.tensor(3), 16)
    activations = scale * (far + used @ directions)
    recipe = SaeRecipe(layers=(0,), width=32, k=4, batch=100, epochs=4.0, tokens=6000)
    folder = tmp_path / "layer_0"
    fit_sae(activations, 0, folder, recipe, state=tmp_path / "fit.pt", autocast=False)

    sae = load(folder)
    rebuilt = sae.decode(sae.encode(activations))
    spread = activations - activations.mean(dim=0)
    assert (activations - rebuilt).square().sum() / spread.square().sum() < 0.4
    from sae_lens import SAE

    # as sae-lens itself loads and reads it
    with torch.no_grad():
        theirs = SAE.load_from_disk(folder).encode(activations)
    torch.testing.assert_close(
        sae.encode(activations).features, theirs, rtol=1e-4, atol=1e-5 * float(theirs.max())
    )
