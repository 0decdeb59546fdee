from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModel

from pm_audit.errors import ModelError
from pm_audit.loading.pms.registry import load
from pm_audit.subject.decoder import Decoder
from pm_audit.subject.replayed import refuse_unlike

TINY = {
    "vocab_size": 50,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


class MixesNeighbours(nn.Module):
    """A block's MLP that adds to each token the one before it, as a convolution does."""

    def __init__(self, mlp: nn.Module) -> None:
        super().__init__()
        self.mlp = mlp

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        before = nn.functional.pad(hidden[:, :-1], (0, 0, 1, 0))
        return self.mlp(hidden) + before


def made(kind: str, **settings: object) -> Decoder:
    torch.manual_seed(0)
    return Decoder(AutoModel.from_config(AutoConfig.for_model(kind, **TINY, **settings)).eval())


@pytest.mark.parametrize("kind", ["llama", "gpt_neox", "qwen3", "gpt2"])
def test_decoders_are_their_blocks(kind):
    refuse_unlike(made(kind), name="pm")


def test_a_half_body_is_its_blocks():
    decoder = made("llama")
    decoder.backbone.to(torch.bfloat16)
    refuse_unlike(decoder, name="pm")


def test_a_block_that_mixes_tokens_by_other_means_is_refused():
    decoder = made("llama")
    decoder.blocks[1].mlp = MixesNeighbours(decoder.blocks[1].mlp)
    with pytest.raises(ModelError, match="pm: the blocks of LlamaModel, run one by one"):
        refuse_unlike(decoder, name="pm")


def test_a_checkpoint_that_is_not_causal_is_refused(save_classifier: Callable[..., Path]):
    folder = save_classifier("llama")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"is_causal": False}))
    with pytest.raises(ModelError, match=r"is\s+not causal"):
        load(folder, text_format="raw")


def test_a_block_that_attends_twice_is_refused():
    with pytest.raises(ModelError, match="DiffLlamaDecoderLayer attends more than once"):
        refuse_unlike(made("diffllama"), name="pm")
