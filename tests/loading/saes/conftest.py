"""Libraries that write SAEs, imported only where a test needs them."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch

torch.set_num_threads(1)  # tiny products; threads only wait for each other


@pytest.fixture(scope="session")
def sae_lens() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library's own imports warn
        import sae_lens

    return sae_lens


@pytest.fixture(scope="session")
def real_stream() -> torch.Tensor:
    """Residual stream [token hidden] of a small transformer, with a massive first position."""
    from transformers import GPT2Config, GPT2Model

    torch.manual_seed(0)
    model = GPT2Model(GPT2Config(n_embd=16, n_layer=2, n_head=2, vocab_size=64, n_positions=64))
    with torch.no_grad():
        tokens = torch.randint(0, 64, (1, 48))
        stream = model(tokens, output_hidden_states=True).hidden_states[1][0].clone()
    stream[0] *= 60
    return stream + 0.5
