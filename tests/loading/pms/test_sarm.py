from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModel, PreTrainedTokenizerFast

from pm_audit.errors import ModelError
from pm_audit.forward.grid import Grid, Row
from pm_audit.forward.trace import rewards
from pm_audit.loading.pms.registry import load
from pm_audit.loading.pms.sarm import LatentHead
from pm_audit.subject.plain import plain_rewards

ROWS = [[1, 40, 50, 60, 70], [1, 33, 34], [1, *range(20, 45)]]
LATENTS, K, LAYER = 96, 7, 2


@pytest.fixture
def sarm(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, tiny_config: Callable[..., Any]
) -> tuple[Path, dict[str, torch.Tensor], torch.Tensor]:
    """Write a SARM-like checkpoint; return it, its head, and the streams that it reads."""
    torch.manual_seed(10)
    config = tiny_config("llama")
    body = AutoModel.from_config(config).eval()
    head = {
        "sae.pre_bias": torch.randn(32),
        "sae.latent_bias": torch.randn(LATENTS),
        "sae.encoder.weight": torch.randn(LATENTS, 32),
        "sae.decoder.weight": torch.randn(32, LATENTS),
        "score.weight": torch.randn(1, LATENTS),
    }
    kept = {
        key: value
        for key, value in body.state_dict().items()
        if not key.startswith(("norm", *(f"layers.{layer}." for layer in range(LAYER, 9))))
    }
    folder = tmp_path / "sarm"
    config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    described = json.loads((folder / "config.json").read_text()) | {
        "architectures": ["LlamaSARM"],
        "sae_hidden_state_source_layer": LAYER,
        "sae_k": K,
        "sae_latent_size": LATENTS,
    }
    (folder / "config.json").write_text(json.dumps(described))
    weights = {f"model.{key}": value.clone() for key, value in kept.items()}
    save_file(weights | head, folder / "model.safetensors")
    with torch.inference_mode():
        streams = [
            body(torch.tensor([row]), output_hidden_states=True).hidden_states[LAYER][0, -1]
            for row in ROWS
        ]
    return folder, head, torch.stack(streams)


def test_reward_is_linear_in_the_k_largest_latents(
    sarm: tuple[Path, dict[str, torch.Tensor], torch.Tensor],
) -> None:
    folder, head, streams = sarm
    model = load(folder)
    expected = []
    for stream in streams:
        standardised = (stream - stream.mean()) / (stream.std() + 1e-5)
        pre = head["sae.encoder.weight"] @ (standardised - head["sae.pre_bias"])
        pre = pre + head["sae.latent_bias"]
        fired = pre.argsort(descending=True)[:K]
        expected.append((pre[fired] * head["score.weight"][0, fired]).sum())
    torch.testing.assert_close(
        plain_rewards(model, ROWS), torch.stack(expected), atol=1e-5, rtol=1e-5
    )


def test_contributions_sum_to_the_reward(
    sarm: tuple[Path, dict[str, torch.Tensor], torch.Tensor],
) -> None:
    folder, _, streams = sarm
    head = load(folder).head
    assert isinstance(head, LatentHead)
    contributions = head.contributions(streams)
    assert contributions.count_nonzero(dim=-1).tolist() == [K] * len(ROWS)
    torch.testing.assert_close(contributions.sum(dim=-1), head(streams), atol=1e-5, rtol=1e-5)


def test_the_engine_reads_the_same_rewards(
    sarm: tuple[Path, dict[str, torch.Tensor], torch.Tensor],
) -> None:
    folder, _, _ = sarm
    model = load(folder)
    grid = Grid(tuple(Row(number, tuple(row), 2) for number, row in enumerate(ROWS)))
    packed = torch.from_numpy(rewards(model, grid)).float()
    torch.testing.assert_close(packed, plain_rewards(model, ROWS), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sae_k": None}, "lacks sae_k, expected 1 to"),
        ({"sae_hidden_state_source_layer": 0}, "source_layer is 0"),
        ({"sae_hidden_state_source_layer": 3}, "lacks layers.2"),
    ],
)
def test_a_configuration_that_leaves_the_reward_open_is_refused(
    sarm: tuple[Path, dict[str, torch.Tensor], torch.Tensor],
    changes: dict[str, Any],
    message: str,
) -> None:
    folder, _, _ = sarm
    described = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(described | changes))
    with pytest.raises(ModelError, match=message):
        load(folder)
