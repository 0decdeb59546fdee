from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from pm_audit.errors import SaeError
from pm_audit.loading.saes.registry import load
from pm_audit.loading.saes.sae_lens import REFUSED

HIDDEN, LATENT = 16, 48
HOOK = "blocks.1.hook_resid_post"
CLASSES = {
    "standard": "StandardSAE",
    "gated": "GatedSAE",
    "jumprelu": "JumpReLUSAE",
    "topk": "TopKSAE",
}
NORMALISATIONS = ["none", "layer_norm", "constant_norm_rescale", "expected_average_only_in"]


def write(library: Any, folder: Path, architecture: str, hook: str = HOOK, **options: Any) -> Any:
    """Let the library write an SAE with random weights; return the SAE as it reads it back."""
    kind = getattr(library, CLASSES[architecture])
    config = getattr(library, CLASSES[architecture] + "Config")(
        d_in=HIDDEN, d_sae=LATENT, metadata=library.saes.sae.SAEMetadata(hook_name=hook), **options
    )
    sae = kind(config)
    noise = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, weight in sae.named_parameters():
            weight.copy_(torch.randn(weight.shape, generator=noise) * 0.4)
            if name == "threshold":
                weight.abs_()
    sae.save_model(folder)
    return library.SAE.load_from_disk(folder)


def assert_equal_to_library(folder: Path, theirs: Any, stream: torch.Tensor) -> None:
    ours = load(folder)
    with torch.no_grad():
        # a TopK or layer-normed SAE of the library keeps state between its two calls
        features = theirs.encode(stream)
        reconstruction = theirs.decode(features)
    encoding = ours.encode(stream)
    scale = max(1.0, float(features.abs().max()))
    assert (encoding.features.count_nonzero(dim=-1) > 0).any()
    torch.testing.assert_close(
        ours.decode(encoding) / scale, reconstruction / scale, atol=1e-5, rtol=1e-5
    )
    if ours.notes and "decoder norms" in ours.notes[0]:
        return  # features are in the units that the library has after the same folding
    torch.testing.assert_close(encoding.features / scale, features / scale, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("architecture", CLASSES)
@pytest.mark.parametrize("normalise", NORMALISATIONS)
@pytest.mark.parametrize("centred", ["centred", "as_it_is"])
def test_every_architecture_equals_the_library(
    sae_lens: Any,
    tmp_path: Path,
    real_stream: torch.Tensor,
    architecture: str,
    normalise: str,
    centred: str,
) -> None:
    options = {"k": 5} if architecture == "topk" else {}
    theirs = write(
        sae_lens,
        tmp_path,
        architecture,
        normalize_activations=normalise,
        apply_b_dec_to_input=centred == "centred",
        **options,
    )
    assert_equal_to_library(tmp_path, theirs, real_stream)
    assert_equal_to_library(tmp_path, theirs, torch.randn(40, HIDDEN))


def test_topk_with_decoder_norms_equals_the_library(
    sae_lens: Any, tmp_path: Path, real_stream: torch.Tensor
) -> None:
    theirs = write(sae_lens, tmp_path, "topk", k=6, rescale_acts_by_decoder_norm=True)
    assert_equal_to_library(tmp_path, theirs, real_stream)
    with torch.no_grad():
        features = theirs.encode(real_stream)
    torch.testing.assert_close(
        load(tmp_path).encode(real_stream).features, features, atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("kind", ["BatchTopK", "MatryoshkaBatchTopK"])
def test_batch_topk_arrives_as_jumprelu(
    sae_lens: Any, tmp_path: Path, real_stream: torch.Tensor, kind: str
) -> None:
    options = {"matryoshka_widths": [16, LATENT]} if kind.startswith("M") else {}
    config = getattr(sae_lens, f"{kind}TrainingSAEConfig")(
        d_in=HIDDEN,
        d_sae=LATENT,
        k=4,
        metadata=sae_lens.saes.sae.SAEMetadata(hook_name=HOOK),
        **options,
    )
    training = getattr(sae_lens, f"{kind}TrainingSAE")(config)
    with torch.no_grad():
        training.topk_threshold.fill_(0.01)
    training.save_inference_model(tmp_path)
    assert load(tmp_path).architecture == "jumprelu"
    assert_equal_to_library(tmp_path, sae_lens.SAE.load_from_disk(tmp_path), real_stream)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_narrow_weights_on_disk_are_widened(
    sae_lens: Any, tmp_path: Path, dtype: torch.dtype
) -> None:
    write(sae_lens, tmp_path, "standard")
    path = tmp_path / "sae_weights.safetensors"
    narrow = {key: value.to(dtype) for key, value in load_file(path).items()}
    save_file(narrow, path)
    sae = load(tmp_path)
    assert sae.W_dec.dtype == torch.float32
    assert torch.equal(sae.W_dec, narrow["W_dec"].float())


def test_a_training_checkpoint_has_its_input_scale_folded_in(
    sae_lens: Any, tmp_path: Path, real_stream: torch.Tensor
) -> None:
    theirs = write(sae_lens, tmp_path, "standard", normalize_activations="expected_average_only_in")
    (tmp_path / "activation_scaler.json").write_text(json.dumps({"scaling_factor": 0.25}))
    ours = load(tmp_path)
    theirs.fold_activation_norm_scaling_factor(0.25)
    with torch.no_grad():
        expected = theirs.decode(theirs.encode(real_stream))
    torch.testing.assert_close(
        ours.decode(ours.encode(real_stream)), expected, atol=1e-4, rtol=1e-5
    )
    assert "0.25" in ours.notes[-1]


def test_the_record_knows_what_was_read(sae_lens: Any, tmp_path: Path) -> None:
    write(sae_lens, tmp_path, "gated")
    sae = load(tmp_path, name="mid")
    assert (sae.name, sae.layer, sae.width, sae.hidden_size) == ("mid", 1, LATENT, HIDDEN)
    before = sae.sha256
    config = json.loads((tmp_path / "cfg.json").read_text())
    (tmp_path / "cfg.json").write_text(json.dumps(config | {"apply_b_dec_to_input": False}))
    assert load(tmp_path).sha256 != before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        *(
            ({"architecture": name}, rf"{name} is refused: {re.escape(reason)}; these load")
            for name, reason in REFUSED.items()
        ),
        ({"architecture": "invented"}, "'invented' is unknown; these load: standard"),
        ({"architecture": "gated"}, "weights b_gate, r_mag, b_mag are missing"),
        ({"reshape_activations": "hook_z"}, "reads attention heads"),
        ({"normalize_activations": "covariance_whitening"}, "keeps its statistics outside"),
        ({"d_sae": HIDDEN}, r"W_dec is \[48, 16\]|square"),
        ({"d_sae": 64}, "the config belongs to other weights"),
        ({"d_in": None}, "lacks d_in, expected a whole number above 0"),
        ({"metadata": {"hook_name": "blocks.1.hook_mlp_out"}}, "inner part of a block"),
        ({"metadata": {"hook_name": "blocks.0.hook_resid_pre"}}, "reads the embeddings"),
        ({"metadata": {"hook_name": "nowhere"}}, "is unknown"),
        ({"metadata": {}}, "do not say which layer"),
        (
            {"metadata": {"hook_name": HOOK, "hook_name_out": "blocks.2.hook_resid_post"}},
            "it is a transcoder",
        ),
    ],
)
def test_what_cannot_be_audited_is_refused_by_name(
    sae_lens: Any, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    write(sae_lens, tmp_path, "standard")
    config = json.loads((tmp_path / "cfg.json").read_text())
    (tmp_path / "cfg.json").write_text(json.dumps(config | changes))
    with pytest.raises(SaeError, match=message):
        load(tmp_path)


def test_square_matrices_are_refused(tmp_path: Path) -> None:
    weights = {name: torch.eye(8) for name in ("W_enc", "W_dec")}
    weights |= {name: torch.zeros(8) for name in ("b_enc", "b_dec")}
    save_file(weights, tmp_path / "sae_weights.safetensors")
    config = {"architecture": "standard", "d_in": 8, "d_sae": 8, "metadata": {"hook_name": HOOK}}
    (tmp_path / "cfg.json").write_text(json.dumps(config))
    with pytest.raises(SaeError, match="orientation is ambiguous"):
        load(tmp_path)


def test_the_stream_before_a_block_is_that_after_the_one_before(
    sae_lens: Any, tmp_path: Path
) -> None:
    write(sae_lens, tmp_path, "standard", hook="blocks.7.hook_resid_pre")
    assert load(tmp_path).layer == 6
    assert load(tmp_path, layer=3).layer == 3


def test_a_library_transcoder_is_refused(sae_lens: Any, tmp_path: Path) -> None:
    config = sae_lens.TranscoderConfig(
        d_in=HIDDEN, d_sae=LATENT, d_out=HIDDEN, apply_b_dec_to_input=False
    )
    sae_lens.Transcoder(config).save_model(tmp_path)
    with pytest.raises(SaeError, match="transcoder predicts another place"):
        load(tmp_path)
