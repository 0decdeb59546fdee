from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModel, PreTrainedTokenizerFast

from pm_audit.errors import ModelError
from pm_audit.models.multi_objective import ARMO_RM
from pm_audit.models.plain import Padding, plain_rewards
from pm_audit.models.registry import load, load_each, objectives

ROWS = [[1, 40, 50, 60, 70], [1, 33, 34], [1, *range(20, 45)]]


@pytest.fixture
def armo(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, tiny_config: Callable[..., Any]
) -> Callable[..., tuple[Path, torch.Tensor]]:
    """Write an ArmoRM-like checkpoint; return it with its objectives' rewards [row objective]."""

    def write(count: int = 19, quantiles: int = 1) -> tuple[Path, torch.Tensor]:
        torch.manual_seed(9)
        config = tiny_config("llama")
        body = AutoModel.from_config(config).eval()
        regression = torch.randn(count * quantiles, 32)
        transform = torch.eye(count) - 0.1 * torch.rand(count, count)
        config.num_quantiles = quantiles
        config.architectures = ["LlamaForRewardModelWithGating"]
        config.auto_map = {"AutoModel": "modeling_custom.LlamaForRewardModelWithGating"}
        folder = tmp_path / "armo"
        config.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        weights = {f"model.{key}": value.clone() for key, value in body.state_dict().items()}
        weights |= {
            "regression_layer.weight": regression,
            "reward_transform_matrix": transform,
            "gating.layers.0.weight": torch.randn(4, 32),
            "gating.logit_scale": torch.ones(1),
        }
        save_file(weights, folder / "model.safetensors")
        with torch.inference_mode():
            states = [body(torch.tensor([row])).last_hidden_state[0, -1] for row in ROWS]
        outputs = torch.stack(states) @ regression.T
        return folder, outputs.unflatten(1, (count, quantiles)).mean(dim=-1) @ transform

    return write


def test_each_objective_is_what_its_row_says(
    armo: Callable[..., tuple[Path, torch.Tensor]],
) -> None:
    folder, expected = armo()
    assert objectives(folder) == ARMO_RM
    models = load_each(folder, objective="all")
    assert [model.objective for model in models] == list(ARMO_RM)
    assert len({id(model.decoder) for model in models}) == 1
    for index, model in enumerate(models):
        for padding in Padding:
            ours = plain_rewards(model, ROWS, padding=padding)
            torch.testing.assert_close(ours, expected[:, index], atol=1e-5, rtol=1e-5)


def test_a_mixture_is_weighed_as_written(armo: Callable[..., tuple[Path, torch.Tensor]]) -> None:
    folder, expected = armo()
    model = load(folder, objective="helpsteer-verbosity=-0.5, prometheus-score=2")
    by_hand = 2 * expected[:, 11] - 0.5 * expected[:, 4]
    torch.testing.assert_close(plain_rewards(model, ROWS), by_hand, atol=1e-5, rtol=1e-5)


def test_quantiles_are_averaged_within_an_objective(
    armo: Callable[..., tuple[Path, torch.Tensor]],
) -> None:
    folder, expected = armo(count=5, quantiles=3)
    model = load(folder, objective="objective_2")
    torch.testing.assert_close(plain_rewards(model, ROWS), expected[:, 2], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (None, "19 objectives and none was named; averaging them would mean nothing"),
        ("gated", "another reward for each prompt"),
        ("kindness", "'kindness' is unknown"),
        ("code-style=much", "'code-style=much' is unknown"),
        ("code-style=nan", "is unknown"),
        ("code-style=0", "all weights"),
    ],
)
def test_what_is_no_objective_is_refused(
    armo: Callable[..., tuple[Path, torch.Tensor]], objective: str | None, message: str
) -> None:
    folder, _ = armo()
    with pytest.raises(ModelError, match=message):
        load(folder, objective=objective)
