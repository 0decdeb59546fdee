"""Tiny PMs and SAEs on disk, one for each kind of head and of activation."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForSequenceClassification, LlamaModel

from recipes.planted.linear import byte_tokenizer

HIDDEN, LATENTS, LAYER = 24, 96, 0
TEMPLATE = (
    "{% for message in messages %}<|start_header_id|>{{ message.role }}<|end_header_id|>\n\n"
    "{{ message.content | trim }}<|eot_id|>{% endfor %}"
)
Written = tuple[dict[str, Any], dict[str, Tensor]]
"""What a head adds to config.json, and its weights."""


def write_pm(folder: Path, head: str) -> Path:
    """Write a PM with this kind of head; return its folder."""
    torch.manual_seed(4)
    tokenizer = byte_tokenizer()
    special = ["<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"]
    tokenizer.add_special_tokens({"additional_special_tokens": special})
    tokenizer.chat_template = TEMPLATE
    if head == "value":
        tokenizer.eos_token = "<|eot_id|>"  # OpenRLHF's text ends with it
    tokenizer.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=HIDDEN,
        intermediate_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=2,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=None,
        max_position_embeddings=2048,
    )
    if head in ("linear", "labels"):
        _write_classifier(folder, config, labels=1 if head == "linear" else 3)
        return folder
    body = LlamaModel(config)
    for parameter in body.parameters():
        nn.init.normal_(parameter, std=0.4)
    config.save_pretrained(folder)
    described, weights = HEADS[head](folder)
    written = json.loads((folder / "config.json").read_text()) | described
    (folder / "config.json").write_text(json.dumps(written))
    save_file(
        {f"model.{key}": value for key, value in body.state_dict().items()} | weights,
        folder / "model.safetensors",
    )
    return folder


def _write_classifier(folder: Path, config: LlamaConfig, *, labels: int) -> None:
    config.num_labels = labels
    model = LlamaForSequenceClassification(config)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.4)
    model.save_pretrained(folder)


def _layers(_: Path) -> Written:
    return {"architectures": ["LlamaForRewardModel"]}, {
        "score.0.weight": torch.randn(8, HIDDEN),
        "score.0.bias": torch.randn(8),
        "score.2.weight": torch.randn(1, 8),
        "score.2.bias": torch.randn(1),
    }


def _value(_: Path) -> Written:
    described = {"value_head_prefix": "value_head", "normalize_reward": True}
    weights = {
        "value_head.weight": torch.randn(1, HIDDEN),
        "mean": torch.tensor([0.3]),
        "std": torch.tensor([1.7]),
    }
    return described | {"architectures": ["LlamaForRewardModel"]}, weights


def _mean(_: Path) -> Written:
    described = {"architectures": ["LlamaRewardModel"], "pooling": "mean"}
    return described, {"out_proj.weight": torch.randn(1, HIDDEN), "out_proj.bias": torch.ones(1)}


def _gated(_: Path) -> Written:
    described = {
        "architectures": ["LlamaForRewardModelWithGating"],
        "id2label": {"0": "kind", "1": "honest"},
    }
    return described, {
        "regression_layer.weight": torch.randn(2, HIDDEN),
        "reward_transform_matrix": torch.tensor([[1.0, -0.2], [0.0, 1.0]]),
        "gating.layers.0.weight": torch.randn(8, HIDDEN),
        "gating.layers.0.bias": torch.zeros(8),
        "gating.layers.1.weight": torch.randn(2, 8),
        "gating.layers.1.bias": torch.zeros(2),
        "gating.logit_scale": torch.ones(1),
    }


def _distribution(folder: Path) -> Written:
    regression = {"0": (16, HIDDEN), "2": (30, 16)}
    gating = {"0": (16, HIDDEN), "3": (3, 16)}
    for name, layers in (("regression_layer", regression), ("gating_layer", gating)):
        held: dict[str, Tensor] = {}
        for number, (outputs, inputs) in layers.items():
            held[f"network.{number}.weight"] = torch.randn(outputs, inputs)
            held[f"network.{number}.bias"] = torch.randn(outputs)
        torch.save(held, folder / f"{name}.pt")
    return {"architectures": ["LDLRewardModel27B"], "softmax": True, "temperature": 0.5}, {}


def _latents(_: Path) -> Written:
    described = {
        "architectures": ["LlamaSARM"],
        "sae_hidden_state_source_layer": 2,
        "sae_k": 7,
        "sae_latent_size": 48,
    }
    return described, {
        "sae.pre_bias": torch.randn(HIDDEN),
        "sae.latent_bias": torch.randn(48),
        "sae.encoder.weight": torch.randn(48, HIDDEN),
        "sae.decoder.weight": torch.randn(HIDDEN, 48),
        "score.weight": torch.randn(1, 48),
    }


HEADS: Mapping[str, Callable[[Path], Written]] = {
    "layers": _layers,
    "value": _value,
    "mean": _mean,
    "gated": _gated,
    "distribution": _distribution,
    "latents": _latents,
}

OBJECTIVE = {"labels": "LABEL_0=1,LABEL_2=-0.5", "gated": "gated"}
"""What must be named of heads with several outputs."""

SAES: Mapping[str, Mapping[str, Any]] = {
    "standard": {"architecture": "standard", "normalize_activations": "layer_norm"},
    "jumprelu": {"architecture": "jumprelu", "normalize_activations": "constant_norm_rescale"},
    "topk": {"architecture": "topk", "k": 12},
    "gated": {"architecture": "gated"},
}


def write_sae(folder: Path, kind: str, *, layer: int = LAYER) -> Path:
    """Write an SAE of this kind in SAELens's format; return its folder."""
    torch.manual_seed(5)
    folder.mkdir(parents=True)
    decoder = nn.functional.normalize(torch.randn(LATENTS, HIDDEN), dim=1)
    weights = {
        "W_enc": decoder.T.contiguous(),
        "W_dec": decoder,
        "b_dec": 0.1 * torch.randn(HIDDEN),
    }
    if kind == "gated":
        weights |= {
            "b_gate": torch.full((LATENTS,), -0.5),
            "r_mag": torch.zeros(LATENTS),
            "b_mag": torch.zeros(LATENTS),
        }
    else:
        weights["b_enc"] = torch.full((LATENTS,), -0.5)
    if kind == "jumprelu":
        weights["threshold"] = torch.full((LATENTS,), 0.2)
    save_file(weights, folder / "sae_weights.safetensors")
    written = {**SAES[kind], "d_in": HIDDEN, "d_sae": LATENTS}
    hook = {"metadata": {"hook_name": f"blocks.{layer}.hook_resid_post"}}
    (folder / "cfg.json").write_text(json.dumps(written | hook))
    return folder
