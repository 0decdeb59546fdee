"""The base as a transformer: the first blocks of SmolLM2-135M-Instruct, with its tokenizer."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from pm_audit.loading.default.base import fetch_base
from pm_audit.loading.default.converted import load_converted


def load_backbone(depth: int) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return the base's first ``depth`` blocks, in fp32 and eval mode, and its tokenizer.

    The final norm is kept; the language model's head is not.

    Raises:
        DownloadError: the base is not cached and cannot be fetched.

    """
    path = fetch_base()
    with _quietly():
        backbone, tokenizer = load_converted(path, depth, lambda: _convert(path, depth))
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
    # The weights are ordinary floats by now; what the file's quantisation was no longer matters.
    if hasattr(backbone.config, "quantization_config"):
        del backbone.config.quantization_config
    return backbone, tokenizer


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Hold back the conversion's progress bars, which say nothing to an auditor."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        if shown:
            logging.enable_progress_bar()
