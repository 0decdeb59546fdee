"""Tiny causal language models of many families, written by transformers, and a random SAE."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from pm_audit.subject.activation import Relu
from pm_audit.subject.sae import Sae

KINDS = {
    "llama": {},
    "llama-untied": {"tie_word_embeddings": False},
    "llama-tied": {"tie_word_embeddings": True},
    "mistral": {},
    "qwen2": {},
    "qwen3": {},
    "gemma2": {},
    "gemma3_text": {"sliding_window": 8},
    "gpt2": {},
    "gpt_neox": {},
    "gptj": {},
    "opt": {},
    "phi": {},
    "cohere": {"num_key_value_heads": 2, "intermediate_size": 64, "logit_scale": 0.25},
    "granite": {"num_key_value_heads": 2, "intermediate_size": 64, "logits_scaling": 4.0},
}


@pytest.fixture
def save_judge(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, tiny_config: Callable[..., Any]
) -> Callable[..., Path]:
    """Write a tiny causal language model and return its folder."""

    def save(name: str, **changes: Any) -> Path:
        torch.manual_seed(5)
        kind = name.partition("-")[0]
        config = tiny_config(kind, **(KINDS.get(name, {}) | changes))
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        folder = tmp_path / name
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder

    return save


def random_sae(layer: int, *, hidden: int = 32, width: int = 64) -> Sae:
    """Return a random SAE that fires often."""
    torch.manual_seed(layer)
    return Sae(
        name=f"layer_{layer}",
        layer=layer,
        architecture="test",
        source="test",
        sha256="",
        W_enc=torch.randn(hidden, width) / hidden**0.5,
        b_enc=torch.zeros(width),
        W_dec=torch.randn(width, hidden) / hidden**0.5,
        b_dec=torch.zeros(hidden),
        activation=Relu(),
    )
