"""Files of tensors, read without running any code that they hold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import torch
from safetensors.torch import load_file
from torch import Tensor

from pm_audit.errors import AuditError
from pm_audit.files import refuse_pointer
from pm_audit.loading.foreign import explained


def read_safetensors(path: Path, *, error: type[AuditError]) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file."""
    refuse_pointer(path, error=error)
    with explained(error, f"{path}: cannot be read as safetensors", "fetch the file again"):
        return load_file(path)


def unpickled(path: Path, *, error: type[AuditError]) -> Any:
    """Return what a torch file of tensors and plain containers holds."""
    refuse_pointer(path, error=error)
    what = f"{path}: holds more than tensors, or is torn; nothing of it was run"
    with explained(error, what, "save its state dict as safetensors"):
        return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zipfile(path))


def state_dict(value: object, *, source: object, error: type[AuditError]) -> dict[str, Tensor]:
    """Return ``value``, or raise ``error`` if it is anything but tensors by their names."""
    if not isinstance(value, dict | Mapping) or not all(
        isinstance(key, str) and isinstance(item, Tensor) for key, item in value.items()
    ):
        raise error(f"{source}: holds no state dict of tensors; save it as safetensors")
    return dict(value)


def is_plain(tensor: Tensor) -> bool:
    """Whether a tensor is stored as its shape says: dense, and not a view that repeats."""
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
        return False
    return tensor.numel() * tensor.itemsize <= tensor.untyped_storage().nbytes()
