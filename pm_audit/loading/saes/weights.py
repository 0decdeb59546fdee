"""The weights of one SAE: each tensor is checked as it is taken, and none is left over."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import torch
from torch import Tensor

from pm_audit.errors import SaeError
from pm_audit.files import refuse_pointer
from pm_audit.loading.foreign import explained
from pm_audit.loading.tensors import is_plain, read_safetensors, state_dict

_UNPACKED = 50
"""Most that an npz may unpack to, as a multiple of its size: weights hardly compress."""
_MATRIX = re.compile(r"(?:W_|w_)(?:enc|dec|skip)|(?:encoder|decoder)\.weight")


class Weights:
    """Named tensors, of which a loader takes what it reads; floats of 16 bits are widened."""

    def __init__(self, tensors: object, *, source: str) -> None:
        held = state_dict(tensors, source=source, error=SaeError)
        self.held = {key: _widened(value) for key, value in held.items()}
        self.source = source
        self._taken: set[str] = set()

    @classmethod
    def read(cls, path: Path, *, source: str) -> Weights:
        """Read a file of npz arrays, or of safetensors; names of arrays are lowered."""
        if path.suffix != ".npz":
            return cls(read_safetensors(path, error=SaeError), source=source)
        return cls({key.lower(): array for key, array in _arrays(path).items()}, source=source)

    def __contains__(self, key: str) -> bool:
        return key in self.held

    def take(self, *keys: str, matrices: Collection[str] = ()) -> tuple[Tensor, ...]:
        """Return tensors by name.

        Args:
            keys: names in the file.
            matrices: those of ``keys`` that are matrices; ``W_enc``, ``encoder.weight`` and the
                like are known as such, and every other tensor must be a vector or a number.

        Raises:
            SaeError: some are missing, or one is not a matrix or vector of floats.

        """
        if missing := [key for key in keys if key not in self.held]:
            raise SaeError(
                f"{self.source}: weights {', '.join(missing)} are missing; the file holds "
                f"{', '.join(sorted(self.held))[:200]}; its config names another architecture"
            )
        for key in keys:
            matrix = key in matrices or _MATRIX.fullmatch(key)
            self._check(key, self.held[key], axes=2 if matrix else 1)
        self._taken.update(keys)
        return tuple(self.held[key] for key in keys)

    def _check(self, key: str, tensor: Tensor, *, axes: int) -> None:
        floats = tensor.is_floating_point() and tensor.itemsize >= 2 and is_plain(tensor)
        if not (floats or key == "k") or tensor.ndim > axes or (axes == 2 and tensor.ndim != 2):
            raise SaeError(
                f"{self.source}: {key} is {str(tensor.dtype).removeprefix('torch.')} "
                f"{list(tensor.shape)}, expected floats of 16 bits or more with {axes} axes; "
                "quantised weights are not read: use the SAE that it was made from"
            )

    def refuse_unread(self, *harmless: str) -> None:
        """Refuse tensors that were not taken and are not harmless: they might change features."""
        if left := sorted(set(self.held) - self._taken - set(harmless)):
            raise SaeError(
                f"{self.source}: nothing reads {', '.join(left)[:200]}, so the features may not be "
                "the ones that were trained; take it out of the file if it does not change them (a "
                "scale of quantised weights does), or fold it into the weights"
            )


def _widened(tensor: Tensor) -> Tensor:
    narrow = tensor.is_floating_point() and tensor.itemsize == 2
    return tensor.float() if narrow and is_plain(tensor) else tensor


def _arrays(path: Path) -> dict[str, Tensor]:
    refuse_pointer(path, error=SaeError)
    with explained(SaeError, f"{path}: cannot be read as plain numpy arrays", "fetch it again"):
        _refuse_bomb(path)
        with np.load(path, allow_pickle=False) as arrays:
            return {key: torch.from_numpy(arrays[key]) for key in arrays.files}


def _refuse_bomb(path: Path) -> None:
    """Refuse arrays that declare more bytes than their entry holds, or unpack to far more."""
    with ZipFile(path) as entries:
        unpacked = sum(entry.file_size for entry in entries.infolist())
        if unpacked > _UNPACKED * path.stat().st_size + 2**20:
            raise SaeError(
                f"{path}: unpacks to {unpacked:,} bytes, and the weights of an SAE hardly "
                "compress; fetch the file again"
            )
        for entry in entries.infolist():
            with entries.open(entry) as stream:
                first = np.lib.format.read_magic(stream) == (1, 0)
                form = np.lib.format
                read = form.read_array_header_1_0 if first else form.read_array_header_2_0
                shape, _, dtype = read(stream)
            if math.prod(shape) * dtype.itemsize > entry.file_size:
                raise SaeError(
                    f"{path}: {entry.filename} declares the shape {str(shape)[:80]}, more than it "
                    "holds; fetch the file again"
                )
