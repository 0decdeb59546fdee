"""GradDrop sees what cancels; on models where nothing cancels it is the size of AtP."""

from __future__ import annotations

import numpy as np
import torch

from pm_audit.attribution.grad_drop import grad_drop
from pm_audit.attribution.integrated_gradients import Method, attribute
from pm_audit.forward.trace import trace
from pm_audit.interventions.replacements import contrast_features


def test_dropping_blocks_equals_gradients_through_the_others(lab, llama):
    sae = lab.sae(1)
    experiment = lab.experiment(llama, sae)
    clean, wanted = experiment.trace, lab.wanted.contrast(experiment, sae)
    found = grad_drop(clean, sae, targets=contrast_features(experiment)).toarray()
    change = sae.encode(clean.streams[1]).features - torch.cat(wanted.feature)
    expected = np.zeros_like(found)
    for block in (2, 3):

        def hold(_, args, kwargs, output):
            stream = args[0] if args else kwargs["hidden_states"]
            return stream + (output - stream).detach()

        handle = llama.decoder.blocks[block].register_forward_hook(hold, with_kwargs=True)
        gradient = lab.plain(llama, clean.grid).gradients(1)
        handle.remove()
        by_token = change.numpy() * (gradient @ sae.W_dec.numpy().T)
        by_row = np.zeros_like(expected)
        np.add.at(by_row.T, clean.row_of_token(), by_token)
        expected += np.abs(by_row) / 2
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_after_the_last_block_it_is_the_size_of_plain_attribution(lab, llama):
    sae = lab.sae(3)
    clean = trace(llama, [sae], lab.grid())
    found = grad_drop(clean, sae, rows=[1, 5]).toarray()
    plain = attribute(clean, sae, method=Method.ATP, rows=[1, 5]).by_row.toarray()
    np.testing.assert_allclose(found, np.abs(plain), atol=1e-6)
    assert found[:, [1, 5]].max() > 0.1
    assert not np.delete(found, [1, 5], axis=1).any()


def test_blocks_that_add_nothing_leave_plain_attribution(lab):
    pm = lab.pm("llama")
    sae = lab.sae(1)
    with torch.no_grad():
        for block in (2, 3):
            pm.decoder.blocks[block].self_attn.o_proj.weight.zero_()
            pm.decoder.blocks[block].mlp.down_proj.weight.zero_()
    clean = trace(pm, [sae], lab.grid())
    found = grad_drop(clean, sae).toarray()
    plain = attribute(clean, sae, method=Method.ATP).by_row.toarray()
    np.testing.assert_allclose(found, np.abs(plain), rtol=1e-4, atol=1e-5)
    assert found.max() > 0.1


def test_a_feature_whose_paths_cancel_is_found(lab):
    pm = lab.pm("llama")
    sae = lab.sae(1)
    blocks = pm.decoder.blocks
    with torch.no_grad():
        for block in (2, 3):
            blocks[block].self_attn.o_proj.weight.zero_()
            blocks[block].mlp.down_proj.weight.zero_()
    # without norms block 2 takes all of the stream away again: the two paths cancel exactly
    blocks[2].post_attention_layernorm = torch.nn.Identity()
    blocks[2].mlp = torch.nn.Linear(lab.hidden, lab.hidden, bias=False)
    with torch.no_grad():
        blocks[2].mlp.weight.copy_(-torch.eye(lab.hidden))
    pm.decoder.backbone.norm = torch.nn.Identity()
    clean = trace(pm, [sae], lab.grid())
    plain = attribute(clean, sae, method=Method.ATP).by_row.toarray()
    np.testing.assert_allclose(plain, 0, atol=1e-6)
    assert grad_drop(clean, sae).toarray().max() > 0.05
