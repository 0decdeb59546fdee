from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pm_audit.errors import SaeError
from pm_audit.loading.saes.registry import load

HIDDEN, LATENT = 16, 48
LIBRARY = Path(__file__).parent / "library"
CENTRED = {"center_writing_weights": True}
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"


def lens(folder: Path, library: Any, **metadata: Any) -> Any:
    """Let SAELens write a standard SAE; return the SAE as it reads it back."""
    described = library.saes.sae.SAEMetadata(hook_name="blocks.1.hook_resid_post", **metadata)
    config = library.StandardSAEConfig(d_in=HIDDEN, d_sae=LATENT, metadata=described)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it tells how to load the model
        sae = library.StandardSAE(config)
        noise = torch.Generator().manual_seed(7)
        with torch.no_grad():
            for weight in sae.parameters():
                weight.copy_(torch.randn(weight.shape, generator=noise) * 0.4)
        sae.save_model(folder)
        return library.SAE.load_from_disk(folder)


def change(folder: Path, **changes: Any) -> None:
    path = next(path for path in (folder / "cfg.json", folder / "config.json") if path.exists())
    config = json.loads(path.read_text())
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(config.get(key), dict):
            config[key] |= value
        else:
            config[key] = value
    path.write_text(json.dumps(config))


@pytest.fixture
def each(tmp_path: Path, sae_lens: Any) -> dict[str, Path]:
    """One folder of each format that has a configuration."""
    folders = {name: tmp_path / name for name in ("sae_lens", "legacy")}
    for folder in folders.values():
        lens(folder, sae_lens)
    config = json.loads((folders["legacy"] / "cfg.json").read_text())
    hook = config.pop("metadata")["hook_name"]
    flat = config | {"hook_name": hook, "activation_fn_str": "relu", "model_name": "gpt2-small"}
    (folders["legacy"] / "cfg.json").write_text(json.dumps(flat))
    for name, source in (("sparsify", "layers.3"), ("dictionary_learning", "AutoEncoder")):
        folders[name] = tmp_path / name / source
        shutil.copytree(LIBRARY / name / source, folders[name])
        (folders[name] / "expected.safetensors").unlink()
    return folders


FORMATS = ("sae_lens", "legacy", "sparsify", "dictionary_learning")


@pytest.mark.parametrize("name", FORMATS)
def test_an_unknown_option_is_refused_when_it_is_on_and_harmless_when_it_is_off(
    each: dict[str, Path], name: str
) -> None:
    place = "trainer" if name == "dictionary_learning" else None
    for value in (None, False, 0, "none", [], {}):
        change(each[name], **({place: {"halve": value}} if place else {"halve": value}))
        load(each[name])
    change(each[name], **({place: {"halve": True}} if place else {"halve": True}))
    with pytest.raises(SaeError, match=r"sets halve, which this loader does not know.* remove it"):
        load(each[name])


@pytest.mark.parametrize("name", FORMATS)
def test_a_tensor_that_nothing_reads_is_refused(each: dict[str, Path], name: str) -> None:
    path = next(path for path in each[name].iterdir() if path.suffix in (".safetensors", ".pt"))
    pickled = path.suffix == ".pt"
    held = torch.load(path, weights_only=True) if pickled else load_file(path)
    save = torch.save if pickled else save_file
    save(held | {"W_dec_scale": torch.ones(1)}, path)
    with pytest.raises(SaeError, match=r"nothing reads W_dec_scale.* take it out"):
        load(each[name])


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "dtype", [torch.int8, torch.int64, torch.float8_e4m3fn, torch.bool, torch.complex64]
)
def test_weights_that_are_no_plain_floats_are_refused(
    each: dict[str, Path], name: str, dtype: torch.dtype
) -> None:
    path = next(path for path in each[name].iterdir() if path.suffix in (".safetensors", ".pt"))
    pickled = path.suffix == ".pt"
    held = dict(torch.load(path, weights_only=True) if pickled else load_file(path))
    key = "decoder.weight" if pickled else "W_dec"
    held[key] = held[key].to(dtype)
    (torch.save if pickled else save_file)(held, path)
    with pytest.raises(SaeError, match=rf"{key} is {str(dtype)[6:]} .*quantised weights are not"):
        load(each[name])


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("shape", [(-1,), (1, -1, 2), (0,), ()])
def test_misshapen_weights_are_refused(
    each: dict[str, Path], name: str, shape: tuple[int, ...]
) -> None:
    path = next(path for path in each[name].iterdir() if path.suffix in (".safetensors", ".pt"))
    pickled = path.suffix == ".pt"
    held = dict(torch.load(path, weights_only=True) if pickled else load_file(path))
    for key in [key for key, value in held.items() if value.ndim == 2]:
        flat = held[key].reshape(-1)
        flat = flat[:1] if shape == () else flat[:0] if shape == (0,) else flat
        changed = held | {key: flat.reshape(shape).clone()}
        (torch.save if pickled else save_file)(changed, path)
        with pytest.raises(SaeError, match=r"expected floats|missing|has shape|expected"):
            load(each[name])


@pytest.mark.parametrize("hook", [3, 1.5, True, ["blocks.1"], {"a": 1}, None, "", "a" * 5000])
def test_hooks_that_are_no_names_are_refused(each: dict[str, Path], hook: Any) -> None:
    change(each["sae_lens"], metadata={"hook_name": hook})
    with pytest.raises(SaeError, match=r"hook_name is|do not say which layer|is unknown"):
        load(each["sae_lens"])
    change(each["legacy"], hook_name=hook)
    with pytest.raises(SaeError, match=r"hook_name is|do not say which layer|is unknown"):
        load(each["legacy"])
    change(each["dictionary_learning"], trainer={"submodule_name": hook, "layer": "x"})
    with pytest.raises(SaeError, match=r"submodule_name is|layer is|is unknown"):
        load(each["dictionary_learning"])


def test_the_whole_configuration_of_a_training_run_is_harmless(
    each: dict[str, Path], sae_lens: Any, real_stream: torch.Tensor
) -> None:
    """Old files hold all that the runner was told; current names are those of the library."""
    import dataclasses

    from sae_lens.config import LanguageModelSAERunnerConfig, LoggingConfig

    before = load(each["legacy"]).encode(real_stream).features
    named = {
        field.name: "on"
        for kind in (LanguageModelSAERunnerConfig, LoggingConfig)
        for field in dataclasses.fields(kind)
    }
    done = ("sae", "hook_name", "hook_head_index", "model_from_pretrained_kwargs", "dtype")
    change(each["legacy"], **{key: value for key, value in named.items() if key not in done})
    assert torch.equal(load(each["legacy"]).encode(real_stream).features, before)


def test_every_option_of_the_librarys_own_classes_is_known(sae_lens: Any) -> None:
    import dataclasses

    from sae_lens.registry import SAE_CLASS_REGISTRY, SAE_TRAINING_CLASS_REGISTRY

    from pm_audit.loading.saes.sae_lens import FOR_TOPK, KNOWN

    for registry in (SAE_CLASS_REGISTRY, SAE_TRAINING_CLASS_REGISTRY):
        for name in {"standard", "gated", "topk", "jumprelu"} & set(registry):
            options = {field.name for field in dataclasses.fields(registry[name][1])}
            assert options <= KNOWN | FOR_TOPK


def test_one_attention_head_is_refused(each: dict[str, Path]) -> None:
    change(each["sae_lens"], metadata={"hook_head_index": 0})
    with pytest.raises(SaeError, match="hook_head_index is set, so it reads one attention head"):
        load(each["sae_lens"])
    change(each["legacy"], hook_point_head_index=3)
    with pytest.raises(SaeError, match="reads one attention head"):
        load(each["legacy"])


def test_a_rescaling_of_another_architecture_is_refused(each: dict[str, Path]) -> None:
    change(each["sae_lens"], rescale_acts_by_decoder_norm=True)
    with pytest.raises(SaeError, match="sets rescale_acts_by_decoder_norm"):
        load(each["sae_lens"])


@pytest.mark.parametrize("model", [None, "gpt2-small", "somebody/a-model"])
def test_a_centred_stream_gives_transformer_lenss_own_figures(
    tmp_path: Path, sae_lens: Any, model: str | None
) -> None:
    theirs = lens(tmp_path, sae_lens, model_name=model, model_from_pretrained_kwargs=CENTRED)
    torch.manual_seed(0)
    sizes = {"n_layers": 2, "d_model": HIDDEN, "n_ctx": 32, "d_head": 8, "d_vocab": 64}
    tokens = torch.randint(0, 64, (1, 20))
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the library's own imports warn
        from transformer_lens import HookedTransformer, HookedTransformerConfig

        config = HookedTransformerConfig(**sizes, act_fn="gelu", normalization_type="LN", seed=0)
        body = HookedTransformer(config)
        body.embed.W_E.data += 0.7  # a stream with a mean, as GPT-2's is
        as_it_is = body.run_with_cache(tokens)[1]["blocks.1.hook_resid_post"][0]
        body.process_weights_(fold_ln=False, center_unembed=False)
        centred = body.run_with_cache(tokens)[1]["blocks.1.hook_resid_post"][0]
        features = theirs.encode(centred)
        reconstruction = theirs.decode(features)
    ours = load(tmp_path)
    encoding = ours.encode(as_it_is)
    torch.testing.assert_close(encoding.features, features, atol=1e-5, rtol=1e-5)
    mean = as_it_is.mean(dim=-1, keepdim=True)
    torch.testing.assert_close(ours.decode(encoding), reconstruction + mean, atol=1e-5, rtol=1e-5)
    selected = torch.tensor([3, 40])
    found = ours.encode_selected(as_it_is, selected).features
    torch.testing.assert_close(found, features[:, selected])
    assert mean.abs().max() > 0.3
    assert "less its mean" in ours.notes[0]


@pytest.mark.parametrize("model", ["google/gemma-2-2b", "meta-llama/Llama-3.1-8B", "qwen2-0.5b"])
def test_a_model_without_layer_norm_was_never_centred(
    tmp_path: Path, sae_lens: Any, real_stream: torch.Tensor, model: str
) -> None:
    theirs = lens(tmp_path, sae_lens, model_name=model, model_from_pretrained_kwargs=CENTRED)
    with torch.no_grad():
        expected = theirs.encode(real_stream)
    torch.testing.assert_close(load(tmp_path).encode(real_stream).features, expected)


def test_options_of_loading_the_model_are_known_or_refused(
    tmp_path: Path, sae_lens: Any, real_stream: torch.Tensor
) -> None:
    harmless = {"fold_ln": False, "n_devices": 2, "torch_dtype": "bfloat16", "revision": "step9"}
    lens(tmp_path, sae_lens, model_from_pretrained_kwargs=harmless)
    assert load(tmp_path).centred is False
    change(tmp_path, metadata={"model_from_pretrained_kwargs": {"shift_stream": 2}})
    with pytest.raises(SaeError, match=r"_kwargs of metadata of cfg.json sets shift_stream"):
        load(tmp_path)
    change(tmp_path, metadata={"model_from_pretrained_kwargs": {"center_writing_weights": "yes"}})
    with pytest.raises(SaeError, match=r"center_writing_weights is 'yes', expected true or false"):
        load(tmp_path)


def test_centring_of_an_old_configuration_is_read(each: dict[str, Path]) -> None:
    change(each["legacy"], model_from_pretrained_kwargs=CENTRED)
    assert load(each["legacy"]).centred


def test_the_hash_holds_the_input_scale(tmp_path: Path, sae_lens: Any) -> None:
    lens(tmp_path, sae_lens)
    change(tmp_path, normalize_activations="expected_average_only_in")
    hashes = set()
    for factor in (2.0, 3.0):
        scaler = tmp_path / "activation_scaler.json"
        scaler.write_text(json.dumps({"scaling_factor": factor}))
        hashes.add(load(tmp_path).sha256)
    assert len(hashes) == 2


@pytest.mark.parametrize("name", ["sae_weights.safetensors", "cfg.json"])
def test_a_pointer_of_git_lfs_says_what_to_run(each: dict[str, Path], name: str) -> None:
    (each["sae_lens"] / name).write_bytes(POINTER)
    with pytest.raises(SaeError, match=r"is a Git LFS pointer.*run `git lfs pull`"):
        load(each["sae_lens"])


@pytest.mark.parametrize("path", ["", "a\0b", "a" * 3000, "b/" * 3000, "x=@", "@3", "x=\0@3"])
def test_paths_that_no_system_has_are_one_clear_error(path: str) -> None:
    with pytest.raises(SaeError):
        load(path)


def test_arrays_that_unpack_to_far_more_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "layer_2"
    folder.mkdir()
    np.savez_compressed(folder / "params.npz", w_enc=np.zeros((4000, 4000)))
    with pytest.raises(SaeError, match="unpacks to"):
        load(folder)
