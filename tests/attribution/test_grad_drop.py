"""GradDrop sees what cancels; on models where nothing cancels it is the size of AtP."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pm_audit.attribution.grad_drop import grad_drop
from pm_audit.attribution.integrated_gradients import Method, attribute
from pm_audit.forward.trace import trace


def test_dropping_blocks_equals_gradients_through_the_others(lab, llama):
    grid, sae = lab.grid(), lab.sae(1)
    clean = trace(llama, [sae], grid)
    found = grad_drop(clean, sae)
    assert found.dropped == (2, 3)
    values = clean.features[sae.name].value.numpy()
    expected = np.zeros(len(values))
    for block in found.dropped:
        module = llama.decoder.blocks[block]

        def hold(_, args, kwargs, output):
            stream = args[0] if args else kwargs["hidden_states"]
            return stream + (output - stream).detach()

        handle = module.register_forward_hook(hold, with_kwargs=True)
        gradient = lab.plain(llama, grid).gradients(1)
        handle.remove()
        products = (sae.W_dec.numpy()[found.latent] * gradient[found.token]).sum(-1)
        expected += np.abs(values * products) / 2
    np.testing.assert_allclose(found.score, expected, rtol=1e-3, atol=1e-4)
    assert (found.row == clean.row_of_token()[found.token]).all()


def test_after_the_last_block_it_is_the_size_of_plain_attribution(lab, llama):
    sae = lab.sae(3)
    clean = trace(llama, [sae], lab.grid())
    found = grad_drop(clean, sae, rows=[1, 5])
    plain = attribute(clean, sae, method=Method.ATP, rows=[1, 5])
    assert found.dropped == ()
    np.testing.assert_allclose(found.score, np.abs(plain.value), atol=1e-6)


def test_a_feature_whose_paths_cancel_is_found(lab):
    pm = lab.pm("llama")
    sae = lab.sae(1)
    with torch.no_grad():
        for block in (2, 3):
            pm.decoder.blocks[block].self_attn.o_proj.weight.zero_()
            pm.decoder.blocks[block].mlp.down_proj.weight.zero_()
    clean = trace(pm, [sae], lab.grid())
    # With blocks that add nothing every drop leaves the same gradient.
    found = grad_drop(clean, sae)
    plain = attribute(clean, sae, method=Method.ATP)
    np.testing.assert_allclose(found.score, np.abs(plain.value), rtol=1e-4, atol=1e-5)
    assert found.score.max() == pytest.approx(np.abs(plain.value).max(), rel=1e-4)
