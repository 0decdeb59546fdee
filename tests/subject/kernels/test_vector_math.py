"""No model runs before the processor's vector mathematics have been called by one thread."""

from __future__ import annotations

import subprocess
import sys

from pm_audit.subject.kernels.vector_math import settle_vector_math
from tests.engine_lab import build_pm

FIRST_FORWARDS = """
import torch
torch.set_num_threads(2)
from transformers import LlamaConfig, LlamaModel
from torch import nn
from pm_audit.subject.preference_model import PreferenceModel
config = LlamaConfig(
    vocab_size=97, hidden_size=128, intermediate_size=64, num_hidden_layers=1,
    num_attention_heads=2, num_key_value_heads=2,
)
pm = PreferenceModel.from_backbone(
    LlamaModel(config), nn.Linear(128, 1, bias=False),
    name="tiny", tokenizer=None, text_format=None, sha256="",
)
backbone = pm.decoder.backbone
stream, positions = torch.zeros(1, 34, 128), torch.arange(34)[None]
first, second = (backbone.rotary_emb(stream, position_ids=positions) for _ in range(2))
print(*(float((one - other).abs().max()) for one, other in zip(first, second)))
"""


def test_every_model_settles_them() -> None:
    settle_vector_math.cache_clear()
    build_pm()
    assert settle_vector_math.cache_info().currsize == 1


def test_the_first_angles_of_a_process_are_as_exact_as_the_second() -> None:
    for _ in range(2):
        found = subprocess.run(
            [sys.executable, "-c", FIRST_FORWARDS], capture_output=True, text=True, check=True
        )
        assert found.stdout.split() == ["0.0", "0.0"]
