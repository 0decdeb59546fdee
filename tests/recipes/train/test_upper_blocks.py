"""Upper blocks on replayed streams give the rewards of the whole model, and alone are trained."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaModel

from recipes.planted.linear import byte_tokenizer
from recipes.train.low_rank import LowRankLinear, add_low_rank
from recipes.train.reward_model import collate
from recipes.train.upper_blocks import UpperBlocks

torch.set_num_threads(1)

TEXTS = ["a longer text than the other ones", "b", "some more letters"]
FIRST = 2


@pytest.fixture
def backbone() -> LlamaModel:
    torch.manual_seed(0)
    tokens = len(byte_tokenizer())
    config = LlamaConfig(
        vocab_size=tokens,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=4,
        num_attention_heads=2,
        num_key_value_heads=1,
    )
    model = LlamaModel(config).eval()
    add_low_rank(model.layers[1:], rank=2)
    for module in model.modules():
        if isinstance(module, LowRankLinear):
            nn.init.normal_(module.up, std=0.3)
    return model


def test_replayed_streams_give_the_rewards_of_the_whole_model(backbone: LlamaModel) -> None:
    upper = UpperBlocks(backbone, torch.randn(1, 16), first=FIRST)
    tokenizer = byte_tokenizer()
    streams = upper.read(tokenizer, TEXTS, most=64)
    with torch.no_grad():
        whole = upper.whole(collate(tokenizer, TEXTS, 64, torch.device("cpu")))
        torch.testing.assert_close(upper(streams), whole, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(upper(streams[1:2]), whole[1:2], rtol=1e-5, atol=1e-5)
    assert len(backbone.layers) == 4
    assert not isinstance(backbone.norm, nn.Identity)


def test_only_factors_of_the_upper_blocks_take_gradients(backbone: LlamaModel) -> None:
    upper = UpperBlocks(backbone, torch.randn(1, 16), first=FIRST)
    upper(upper.read(byte_tokenizer(), TEXTS, most=64)).sum().backward()
    moved = {name for name, weight in backbone.named_parameters() if weight.grad is not None}
    assert {name.split(".")[1] for name in moved} == {"2", "3"}
    assert {name.rpartition(".")[2] for name in moved} == {"up", "down"}
