"""The SAEs of the judges with a name have the features that SAELens gives."""

from __future__ import annotations

import pytest
import torch

from pm_audit.loading.judges.names import own_saes
from pm_audit.loading.saes.registry import load


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # sae-lens's own imports
@pytest.mark.parametrize("judge", ["judge:smollm2-135m", "judge:gemma3-270m"])
def test_features_are_those_of_sae_lens(judge: str) -> None:
    sae_lens = pytest.importorskip("sae_lens", reason="sae-lens is not installed")
    (folder,) = own_saes(judge)
    ours = load(folder)
    theirs = sae_lens.SAE.load_from_disk(folder)
    mean = theirs.b_dec.detach()
    noise = torch.randn(64, len(mean), generator=torch.Generator().manual_seed(0))
    stream = mean + 0.1 * mean.std() * noise
    with torch.no_grad():
        features = theirs.encode(stream)
        found = ours.encode(stream)
        assert (features > 0).sum(dim=-1).eq(64).all()
        scale = float(features.max())
        torch.testing.assert_close(found.features, features, rtol=1e-5, atol=1e-5 * scale)
        torch.testing.assert_close(
            ours.decode(found), theirs.decode(features), rtol=1e-5, atol=1e-6 * float(mean.max())
        )
