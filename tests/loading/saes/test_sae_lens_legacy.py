from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from pm_audit.errors import SaeError
from pm_audit.loading.saes.registry import load

HIDDEN, LATENT = 16, 48


def write(folder: Path, *, gated: bool = False, **changes: Any) -> None:
    """Write a flat configuration as version 3 to 5 had it, and weights under the same names."""
    noise = torch.Generator().manual_seed(4)
    shapes = {"W_enc": (HIDDEN, LATENT), "W_dec": (LATENT, HIDDEN), "b_dec": (HIDDEN,)}
    shapes |= dict.fromkeys(("b_gate", "b_mag", "r_mag") if gated else ("b_enc",), (LATENT,))
    weights = {name: torch.randn(*shape, generator=noise) / 3 for name, shape in shapes.items()}
    if changes.get("architecture") == "jumprelu":
        weights["threshold"] = torch.rand(LATENT, generator=noise)
    weights |= {name: changes.pop(name) for name in ("scaling_factor",) if name in changes}
    save_file(weights, folder / "sae_weights.safetensors")
    config = {
        "d_in": HIDDEN,
        "d_sae": LATENT,
        "dtype": "float32",
        "device": "cpu",
        "model_name": "gpt2-small",
        "hook_point": "blocks.5.hook_resid_pre",
        "activation_fn_str": "relu",
        "normalize_activations": False,
        "prepend_bos": True,
    }
    (folder / "cfg.json").write_text(json.dumps(config | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"architecture": "standard", "normalize_activations": True, "apply_b_dec_to_input": False},
        {"normalize_activations": "layer_norm"},
        {"architecture": "gated", "gated": True},
        {"architecture": "jumprelu"},
        {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 7}},
        {"scaling_factor": torch.ones(LATENT)},
    ],
)
def test_equals_what_the_library_makes_of_old_files(
    sae_lens: Any, tmp_path: Path, real_stream: torch.Tensor, changes: dict[str, Any]
) -> None:
    write(tmp_path, **changes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = sae_lens.SAE.load_from_disk(tmp_path)
    ours = load(tmp_path)
    with torch.no_grad():
        features = theirs.encode(real_stream)
        expected = theirs.decode(features)
    encoding = ours.encode(real_stream)
    assert ours.layer == 4
    torch.testing.assert_close(encoding.features, features, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(ours.decode(encoding), expected, atol=1e-4, rtol=1e-5)


def test_a_finetuning_scale_is_folded_into_the_decoder(
    tmp_path: Path, real_stream: torch.Tensor
) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "scaled").mkdir()
    scale = torch.rand(LATENT) + 0.5
    write(tmp_path / "plain")
    write(tmp_path / "scaled", scaling_factor=scale, finetuning_scaling_factor=True)
    plain, scaled = load(tmp_path / "plain"), load(tmp_path / "scaled")
    features = plain.encode(real_stream).features
    by_hand = (features * scale) @ plain.W_dec + plain.b_dec
    torch.testing.assert_close(
        scaled.decode(scaled.encode(real_stream)), by_hand, atol=1e-4, rtol=1e-5
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"activation_fn_str": "tanh-relu"}, "'tanh-relu' is refused"),
        ({"scaling_factor": torch.full((LATENT,), 2.0)}, "does not mention"),
        ({"hook_point": "blocks.5.attn.hook_z"}, "reads attention heads"),
        ({"activation_fn_str": "topk"}, "needs k from 1 to 48"),
        ({"hook_point": "blocks.5.hook_mlp_out"}, "inner part of a block"),
    ],
)
def test_what_old_files_cannot_mean_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    write(tmp_path, **changes)
    with pytest.raises(SaeError, match=message):
        load(tmp_path)
