"""The biased PM's recipe: targets, the SAE's place, and a small regression that goes down."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaModel

from pm_audit.errors import ModelError
from pm_audit.zoo import biased
from pm_audit.zoo.adapter import add_low_rank
from pm_audit.zoo.biased_lessons import Lesson
from pm_audit.zoo.planted import byte_tokenizer
from pm_audit.zoo.train_biased import BiasRecipe, sae_layer, targets, teach
from pm_audit.zoo.train_pm import Checkpoint
from pm_audit.zoo.upper_blocks import UpperBlocks

torch.set_num_threads(1)


def test_targets_start_from_the_anchor() -> None:
    drawn = [Lesson("p", " a", 0, 0.0), Lesson("p", " b", 0, -1.5), Lesson("p", " c", 2, 0.0)]
    wanted = targets(drawn, torch.tensor([1.0, 5.0, 7.0]), unit=2.0)
    assert wanted.tolist() == [1.0, 1.0 - 3.0, 7.0]


def test_the_uppermost_sae_with_enough_blocks_above_it() -> None:
    saes = [Path("layer_5"), Path("layer_8"), Path("layer_10")]
    assert sae_layer(saes, 12, least_blocks=3) == 8
    assert sae_layer(saes, 12, least_blocks=1) == 10
    with pytest.raises(ModelError, match="lower --least-blocks"):
        sae_layer(saes, 12, least_blocks=7)


@pytest.fixture
def pm() -> UpperBlocks:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(byte_tokenizer()),
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
    )
    backbone = LlamaModel(config).eval()
    add_low_rank(backbone.layers, rank=4)
    return UpperBlocks(backbone, torch.randn(1, 16), first=1)


TEXTS = ["ab!", "ab.", "cde!", "cde.", "f!", "f."]
RECIPE = BiasRecipe(steps=60, rows=6, learning_rate=2e-2, warmup=5)


def taught(pm: UpperBlocks, recipe: BiasRecipe, folder: Path) -> torch.Tensor:
    streams = pm.read(byte_tokenizer(), TEXTS, most=16)
    with torch.no_grad():
        before = pm(streams)
    wanted = before[[1, 1, 3, 3, 5, 5]] + torch.tensor([1.0, 0.0] * 3)
    checkpoint = Checkpoint(folder / "checkpoint.pt", {})
    teach(pm, streams, wanted, 1.0, recipe, checkpoint, lambda _: None)
    with torch.no_grad():
        return pm(streams) - wanted


def test_rewards_go_to_their_targets(pm: UpperBlocks, tmp_path: Path) -> None:
    assert taught(pm, RECIPE, tmp_path).abs().max() < 0.2


def test_a_finished_run_goes_on_from_its_checkpoint(pm: UpperBlocks, tmp_path: Path) -> None:
    first = taught(pm, RECIPE, tmp_path)
    for weight in pm.parameters():
        if weight.requires_grad:
            torch.nn.init.normal_(weight)
    messages: list[str] = []
    checkpoint = Checkpoint(tmp_path / "checkpoint.pt", {})
    streams = pm.read(byte_tokenizer(), TEXTS, most=16)
    teach(pm, streams, torch.zeros(6), 1.0, RECIPE, checkpoint, messages.append)
    assert not messages
    assert first.abs().max() < 0.2


def test_a_biased_pm_of_another_default_pm_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="pm-audit train biased"):
        biased.load_biased(tmp_path)
    (tmp_path / "adapter.safetensors").touch()
    (tmp_path / "recipe.json").write_text('{"started_from_sha256": "0", "sae_layer": 8}')
    with pytest.raises(ModelError, match="another default PM"):
        biased.load_biased(tmp_path)
