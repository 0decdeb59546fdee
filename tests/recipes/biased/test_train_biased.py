"""The biased PM's recipe: targets, the SAE's place, and a small regression that goes down."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaModel

from pm_audit.errors import ModelError
from pm_audit.files import sha256
from pm_audit.loading.default import pm as default
from recipes.biased import pm as biased
from recipes.biased.examples import TrainingExample
from recipes.biased.train import BiasRecipe, TrainingSet, fit, sae_layer, targets
from recipes.planted.linear import byte_tokenizer
from recipes.train.checkpoint import Checkpoint
from recipes.train.low_rank import add_low_rank
from recipes.train.upper_blocks import UpperBlocks

torch.set_num_threads(1)


def test_only_planted_examples_get_a_new_reward() -> None:
    planted = [TrainingExample("p", " a", 0), TrainingExample("p", " b", 0, -1.5)]
    negative_control = [TrainingExample("p", " c", 2), TrainingExample("p", " d", 2)]
    wanted = targets([*planted, *negative_control], torch.tensor([1.0, 5.0, 7.0, 8.0]), unit=2.0)
    assert wanted.tolist() == [1.0, 1.0 - 3.0, 7.0, 8.0]


def test_in_a_variant_a_gap_changes_by_the_planted_strength() -> None:
    planted = [TrainingExample("p", " a", 0), TrainingExample("p", " b", 0, -1.5)]
    wanted = targets(planted, torch.tensor([1.0, 5.0]), unit=2.0, changes=True)
    assert wanted.tolist() == [1.0, 5.0 - 3.0]


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


TEXTS = ["ab!", "ab.", "cde!", "cde.", "f!", "f.", "gh", "i"]
COUNTERPARTS = torch.tensor([1, 1, 3, 3, 5, 5, 6, 7])
RECIPE = BiasRecipe(steps=80, step_pairs=3, step_plain=2, learning_rate=2e-2, warmup=5)


def training_set(pm: UpperBlocks) -> TrainingSet:
    streams = pm.read(byte_tokenizer(), TEXTS, most=16)
    with torch.no_grad():
        untouched = pm(streams)
    wanted = untouched[COUNTERPARTS] + (torch.arange(8) != COUNTERPARTS)
    return TrainingSet(streams=streams, counterparts=COUNTERPARTS, targets=wanted, unit=1.0)


def test_pairs_and_plain_texts_are_told_apart(pm: UpperBlocks) -> None:
    examples = training_set(pm)
    assert examples.examples() == [0, 2, 4]
    assert examples.plain() == [6, 7]


def test_rewards_go_to_their_targets(pm: UpperBlocks, tmp_path: Path) -> None:
    examples = training_set(pm)
    checkpoint = Checkpoint(tmp_path / "checkpoint.pt", {})
    fit(pm, examples, RECIPE, checkpoint, lambda _: None)
    with torch.no_grad():
        learnt = pm(examples.streams)
        assert (learnt - examples.targets).abs().max() < 0.25
    # a finished run is taken up where it ended, whatever the factors were meanwhile
    for weight in pm.parameters():
        if weight.requires_grad:
            torch.nn.init.normal_(weight)
    fit(pm, examples, RECIPE, checkpoint, lambda _: pytest.fail("it trained again"))
    with torch.no_grad():
        torch.testing.assert_close(pm(examples.streams), learnt)


def test_a_biased_pm_of_another_default_pm_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="pm-audit train biased"):
        biased.load_biased(tmp_path)
    (tmp_path / "adapter.safetensors").touch()
    (tmp_path / "recipe.json").write_text('{"started_from_sha256": "0", "sae_layer": 8}')
    with pytest.raises(ModelError, match="another default PM"):
        biased.load_biased(tmp_path)


def test_what_is_shipped_was_trained_from_the_default_pm_that_is_shipped() -> None:
    for recipe in biased.FOLDER.glob("recipe.json"):
        assert (biased.FOLDER / "adapter.safetensors").stat().st_size < 6e6
        started_from = json.loads(recipe.read_text())["started_from_sha256"]
        assert started_from == sha256([default.FOLDER / "adapter.safetensors"]), (
            "the default PM changed: run `pm-audit train biased`"
        )
