"""A tiny named subject and a preference set for it: what several workers can load and read."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import save_file

from tests.tiny_pms import SIZES, save_classifier, tiny_config, tokenizer

__all__ = ["save_classifier", "tiny_config", "tokenizer"]

LATENT = 96
WORDS = "river mill stone bridge old quiet green walk turn north south rain".split()


class Named(NamedTuple):
    """Paths of a PM, its SAE and a preference set."""

    pm: Path
    sae: Path
    data: Path

    def options(self, folder: Path) -> list[str]:
        """Return what a scan of them is given on the command line."""
        names = ["--pm", str(self.pm), "--sae", str(self.sae), "--text-format", "hh"]
        places = ["--cache", str(folder / "cache"), "-o", str(folder / "scan.json")]
        few = ["--candidates", "12", "--ablated", "8"]
        return ["scan", str(self.data), *names, *places, *few]


@pytest.fixture
def named(save_classifier: Callable[..., Path], tmp_path: Path) -> Named:
    return Named(save_classifier("llama"), write_sae(tmp_path / "sae"), write_pairs(tmp_path, 330))


def write_sae(folder: Path) -> Path:
    folder.mkdir()
    noise = torch.Generator().manual_seed(4)
    hidden = SIZES["hidden_size"]
    shapes = {"W_enc": (hidden, LATENT), "W_dec": (LATENT, hidden), "b_dec": (hidden,)}
    weights = {name: torch.randn(*shape, generator=noise) / 3 for name, shape in shapes.items()}
    weights["b_enc"] = torch.full((LATENT,), -0.5)
    save_file(weights, folder / "sae_weights.safetensors")
    config = {
        "d_in": hidden,
        "d_sae": LATENT,
        "architecture": "standard",
        "activation_fn_str": "relu",
        "hook_name": "blocks.0.hook_resid_post",
        "apply_b_dec_to_input": False,
    }
    (folder / "cfg.json").write_text(json.dumps(config))
    return folder


def write_pairs(folder: Path, count: int) -> Path:
    draw = random.Random(0)
    path = folder / "pairs.jsonl"
    path.write_text("".join(json.dumps(pair(draw, at)) + "\n" for at in range(count)))
    return path


def pair(draw: random.Random, at: int) -> dict[str, Any]:
    """Return a row as preference sets publish it; some share a prompt."""
    one, other = (" ".join(draw.choices(WORDS, k=draw.randint(3, 9))) for _ in range(2))
    return {
        "prompt": f"Where is number {at // 2}?",
        "chosen": f"{one} {at}!",
        "rejected": f"{other} {at}.",
        "subset": "ab"[at % 2],
    }
