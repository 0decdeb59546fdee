"""The base as a transformer: the first blocks of SmolLM2-135M-Instruct, with its tokenizer."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from pm_audit.loading.checkpoint.with_transformers import quietly
from pm_audit.loading.default.base import fetch_base
from pm_audit.loading.default.converted import load_converted


def load_backbone(depth: int) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return the base's first ``depth`` blocks and final norm, in fp32, and its tokenizer.

    Raises:
        DownloadError: the base is not cached and cannot be fetched.

    """
    path = fetch_base()
    with quietly():
        backbone, tokenizer = load_converted(path, f"{depth}-blocks", lambda: _convert(path, depth))
    backbone.config.use_cache = False
    return backbone.eval().requires_grad_(requires_grad=False), tokenizer


def _convert(path: Path, depth: int) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Read the GGUF file and cut the model to its first blocks."""
    backbone = AutoModel.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32, local_files_only=True
    )
    tokenizer = AutoTokenizer.from_pretrained(
        path.parent, gguf_file=path.name, local_files_only=True
    )
    backbone.layers = nn.ModuleList(backbone.layers[:depth])
    backbone.config.num_hidden_layers = depth
    # the weights are ordinary floats by now
    if hasattr(backbone.config, "quantization_config"):
        del backbone.config.quantization_config
    return backbone, tokenizer
