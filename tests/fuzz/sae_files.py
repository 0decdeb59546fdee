"""SAEs of every format, small, and mutated: each must load, or be refused by name."""

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from pm_audit.loading.saes.registry import load
from tests.fuzz.mutations import (
    mutate_bytes,
    mutate_folder,
    mutate_json,
    mutate_tensors,
    write_json,
)

LIBRARY = Path(__file__).parents[1] / "loading" / "saes" / "library"
HIDDEN, LATENT = 8, 32

Example = tuple[str, str, dict[str, Any] | None, str, dict[str, Any]]
"""Folder, configuration's name and content, name of the weights, and what they hold."""


def _tensors(*names: str) -> dict[str, Tensor]:
    noise = torch.Generator().manual_seed(5)
    shapes = {"W_enc": (HIDDEN, LATENT), "W_dec": (LATENT, HIDDEN), "b_dec": (HIDDEN,)}
    return {name: torch.randn(shapes.get(name, (LATENT,)), generator=noise).abs() for name in names}


def _lens(architecture: str, *names: str, **options: Any) -> Example:
    config = {
        "architecture": architecture,
        "d_in": HIDDEN,
        "d_sae": LATENT,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {
            "hook_name": "blocks.1.hook_resid_post",
            "model_name": "gpt2",
            "model_from_pretrained_kwargs": {"center_writing_weights": True},
            "sae_lens_version": "6.5.0",
        },
    } | options
    weights = _tensors("W_enc", "W_dec", "b_dec", *names)
    return "sae", "cfg.json", config, "sae_weights.safetensors", weights


def _old(**options: Any) -> Example:
    config = {
        "d_in": HIDDEN,
        "d_sae": LATENT,
        "dtype": "float32",
        "model_name": "gpt2-small",
        "hook_point": "blocks.5.hook_resid_pre",
        "activation_fn_str": "relu",
        "normalize_activations": False,
        "prepend_bos": True,
    } | options
    weights = _tensors("W_enc", "W_dec", "b_dec", "b_enc")
    return "sae", "cfg.json", config, "sae_weights.safetensors", weights


def examples() -> list[Example]:
    import json

    found: list[Example] = [
        _lens("standard", "b_enc"),
        _lens("jumprelu", "b_enc", "threshold", normalize_activations="layer_norm"),
        _lens("gated", "b_gate", "b_mag", "r_mag"),
        _lens("topk", "b_enc", k=3, rescale_acts_by_decoder_norm=True),
        _old(),
        _old(activation_fn_str="topk", activation_fn_kwargs={"k": 3}),
    ]
    for folder in sorted((LIBRARY / "sparsify").iterdir()):
        weights = dict(load_file(folder / "sae.safetensors"))
        config = json.loads((folder / "cfg.json").read_text())
        found.append((folder.name, "cfg.json", config, "sae.safetensors", weights))
    for folder in sorted((LIBRARY / "dictionary_learning").iterdir()):
        weights = torch.load(folder / "ae.pt", weights_only=True)
        config = json.loads((folder / "config.json").read_text())
        found.append((folder.name, "config.json", config, "ae.pt", weights))
    scope = {key.lower(): value for key, value in _tensors("W_enc", "W_dec", "b_dec").items()}
    scope |= _tensors("b_enc", "threshold")
    found.append(("layer_2", "", None, "params.npz", scope))
    tied = {
        "pre_bias": torch.rand(HIDDEN),
        "latent_bias": torch.rand(LATENT),
        "encoder.weight": torch.rand(LATENT, HIDDEN),
        "decoder.weight": torch.rand(HIDDEN, LATENT),
    }
    options = {"activation": "TopK", "activation_state_dict": {"k": 3, "postact_fn": "ReLU"}}
    found += [
        ("openai", "", None, "1.pt", dict(tied)),
        ("openai", "", None, "1.pt", tied | options),
    ]
    gated = torch.load(LIBRARY / "dictionary_learning" / "GatedAutoEncoder" / "ae.pt")
    found.append(("published", "", None, "ae_layer3.pt", dict(gated)))
    return found


def write(folder: Path, name: str, held: dict[str, Any]) -> None:
    path = folder / name
    if name.endswith(".safetensors"):
        save_file(held, path)
    elif name.endswith(".npz"):
        np.savez(path, **{key: _array(value) for key, value in held.items()})
    else:
        torch.save(held, path)


def _array(value: Tensor) -> Any:
    narrow = value.dtype in (torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2)
    return value.float().numpy() if narrow else value.numpy()


def mutated(root: Path, held: list[Example], number: int) -> str:
    """Write mutant ``number`` under ``root`` and return what an audit would be told to load."""
    rng = random.Random(number)
    torch.manual_seed(number)
    name, config_name, config, weights_name, weights = copy.deepcopy(held[number % len(held)])
    folder = root / name
    folder.mkdir(parents=True)
    way = rng.random()
    if config is not None and (way < 0.45 or way > 0.85):
        config = mutate_json(config, rng)
    if 0.45 <= way < 0.7 or way > 0.93:
        weights = _mutate_weights(weights, rng)
    write(folder, weights_name, weights)
    names = [weights_name]
    if config is not None:
        write_json(folder / config_name, config)
        names.append(config_name)
    if 0.7 <= way < 0.8:
        mutate_bytes(folder / rng.choice(names), rng)
    elif 0.8 <= way < 0.85:
        mutate_folder(folder, names, rng)
    place = str(folder / weights_name if config is None or rng.random() < 0.3 else folder)
    spelled = rng.random()
    if spelled < 0.02:
        return rng.choice((f"{place}@99999", f"={place}", f"{place}\0", place * 200, "", "a" * 300))
    return f"x={place}@2" if spelled < 0.3 or weights_name == "1.pt" else place


def _mutate_weights(weights: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    inner = weights.get("ae")
    if isinstance(inner, dict):  # the checkpoint of an interrupted run
        if rng.random() < 0.3:
            return mutate_json(weights | {"ae": dict(inner)}, rng)
        return weights | {"ae": mutate_tensors(dict(inner), rng)}
    tensors = {key: value for key, value in weights.items() if isinstance(value, Tensor)}
    others = {key: value for key, value in weights.items() if not isinstance(value, Tensor)}
    if others and rng.random() < 0.4:
        return tensors | mutate_json(others, rng)
    return others | mutate_tensors(tensors, rng)


def use(place: str) -> None:
    """Load, encode and decode."""
    sae = load(place)
    stream = torch.randn(3, sae.hidden_size)
    encoding = sae.encode(stream)
    sae.decode(encoding)
    sae.encode_selected(stream, torch.tensor([0]))
