"""The files of a trained SAE: sae-lens's format, with weights kept in fp16 and used in fp32."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from pm_audit.errors import AuditError
from pm_audit.loading.saes.sae_lens import CONFIG
from pm_audit.loading.saes.sae_lens import WEIGHTS as WEIGHTS


def write_halves(weights: Mapping[str, Tensor], folder: Path) -> None:
    """Write an SAE's weights in half their size, for use in fp32.

    sae-lens rounds what an SAE reads to the dtype of its configuration, so that names fp32: a
    stream whose norm is thousands would lose its features in fp16.

    Raises:
        AuditError: a weight is outside the range of fp16.

    """
    path = folder / WEIGHTS
    halves = {name: weight.half().contiguous() for name, weight in weights.items()}
    if not all(torch.isfinite(weight).all() for weight in halves.values()):
        raise AuditError(f"{path}: a weight is outside fp16's range; keep this SAE in fp32")
    save_file(halves, path)
    config = json.loads((folder / CONFIG).read_text())
    config["dtype"] = "float32"
    (folder / CONFIG).write_text(json.dumps(config, indent=1) + "\n")
