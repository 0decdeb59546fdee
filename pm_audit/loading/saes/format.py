"""What a file format of sparse autoencoders is to the registry, and the files it reads.

A format recognises its own files by their names and keys, loads them, and names in words what
it loads and what it refuses; the documentation's matrix is generated from those words.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from pm_audit.errors import SaeError
from pm_audit.files import confined, named, read_json, refuse_pointer, sha256
from pm_audit.loading.saes.hook import block_of_hook
from pm_audit.subject.sae import Sae

_UNPACKED = 50
"""Most that an npz may unpack to, as a multiple of its size: weights hardly compress."""
_MATRIX = re.compile(r"(?:W_|w_)(?:enc|dec|skip)|(?:encoder|decoder)\.weight")
_WEIGHTS = (".pt", ".pth", ".bin", ".npz", ".safetensors")


@dataclass(frozen=True)
class SaeFiles:
    """An SAE on disk, as the user named it."""

    folder: Path
    """The folder, or the folder of the file."""
    weights: Path | None = None
    """The weights file, where the user named one."""
    name: str = ""
    """The name that the audit gives this SAE."""
    layer: int | None = None
    """Block named by the user, which outweighs what the file says."""

    @classmethod
    def at(cls, path: Path, *, name: str | None = None, layer: int | None = None) -> SaeFiles:
        """Return the files at ``path``, a folder or a weights file.

        Raises:
            SaeError: nothing is there, or a file of another kind.

        """
        path = named(path, error=SaeError)
        if path.is_dir():
            return cls(path, None, name or path.name, layer)
        if not path.is_file():
            raise SaeError(f"{path}: no such folder or file; check the path of the SAE")
        if path.suffix not in _WEIGHTS:
            raise SaeError(
                f"{path}: not an SAE's weights ({', '.join(_WEIGHTS)}); name the SAE's folder"
            )
        return cls(path.parent, path, name or path.stem, layer)

    @property
    def source(self) -> str:
        """The path as the user named it, for messages and the record."""
        return str(self.weights or self.folder)

    @property
    def index_path(self) -> Path:
        """Where the SAE's feature index would stand: a folder may hold several weights files."""
        if self.weights is None:
            return self.folder / "features.json"
        return self.folder / f"{self.weights.stem}.features.json"

    def has(self, name: str) -> bool:
        """Tell whether the folder holds the file ``name``."""
        return (self.folder / name).is_file()

    def weights_file(self, name: str) -> Path | None:
        """Return the weights file ``name``, unless absent or the user named another one."""
        if self.weights is not None:
            return self.weights if self.weights.name == name else None
        return confined(self.folder, name, error=SaeError) if self.has(name) else None

    def config(self, name: str) -> dict[str, Any]:
        """Read the JSON object in the file ``name`` of the folder."""
        return read_json(confined(self.folder, name, error=SaeError), error=SaeError)

    def at_weights(self, path: Path) -> SaeFiles:
        """Return the same SAE with its weights file settled."""
        return replace(self, weights=path)

    @cached_property
    def _hashed(self) -> list[Path]:
        names = ("cfg.json", "config.json", "activation_scaler.json")
        configs = [self.folder / name for name in names if self.has(name)]
        return [path for path in (self.weights, *configs) if path is not None]

    def sha256(self) -> str:
        """Return the hash of the weights and of the configuration beside them."""
        return sha256(self._hashed)

    def block(self, hook: str | None) -> int:
        """Return the block that the SAE reads: the user's word, or that of the hook's name.

        Raises:
            SaeError: neither says it, or the hook is no residual stream.

        """
        if self.layer is not None:
            return self.layer
        if hook is None:
            raise SaeError(
                f"{self.source}: the files do not say which layer they read; say so: "
                f"{self.source}@LAYER, the block after which it reads, counted from 0"
            )
        return block_of_hook(hook, source=self.source)


@dataclass(frozen=True)
class SaeFormat:
    """One file format of SAEs."""

    name: str
    files: str
    """The files that make it, in words."""
    loads: tuple[str, ...]
    """Architectures that load."""
    refuses: Mapping[str, str]
    """What is refused, and why."""
    recognises: Callable[[SaeFiles], bool]
    """Tells by names and keys, without reading weights, whether the files are of this format."""
    load: Callable[[SaeFiles], Sae]


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file; floats of 16 bits are widened."""
    refuse_pointer(path, error=SaeError)
    try:
        return {key: widened(value) for key, value in load_file(path).items()}
    except Exception as problem:  # torn files raise whatever their bytes lead to
        raise SaeError(
            f"{path}: cannot be read as safetensors: {_first(problem)}; fetch the file again"
        ) from problem


def read_pickle(path: Path) -> Any:
    """Read a torch file that holds tensors and plain containers only; no code of it runs."""
    refuse_pointer(path, error=SaeError)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as problem:  # bytes that are no pickle raise whatever they lead to
        raise SaeError(
            f"{path}: holds more than tensors, or is torn; nothing of it was run. "
            f"Save its state dict alone, best as safetensors ({_first(problem)})"
        ) from problem


def read_npz(path: Path) -> dict[str, Tensor]:
    """Read the arrays of an npz file; pickled objects are refused."""
    refuse_pointer(path, error=SaeError)
    try:
        _refuse_bomb(path)
        with np.load(path, allow_pickle=False) as arrays:
            return {key: widened(torch.from_numpy(arrays[key])) for key in arrays.files}
    except SaeError:
        raise
    except Exception as problem:  # torn files raise whatever their bytes lead to
        raise SaeError(
            f"{path}: cannot be read as plain numpy arrays: {_first(problem)}; fetch it again"
        ) from problem


def _refuse_bomb(path: Path) -> None:
    """Refuse arrays that declare more bytes than their entry holds, or unpack to far more."""
    with ZipFile(path) as entries:
        unpacked = sum(entry.file_size for entry in entries.infolist())
        if unpacked > _UNPACKED * path.stat().st_size + 2**20:
            raise SaeError(f"{path}: unpacks to {unpacked:,} bytes; no SAE's weights do")
        for entry in entries.infolist():
            with entries.open(entry) as stream:
                version = np.lib.format.read_magic(stream)
                read = (
                    np.lib.format.read_array_header_1_0
                    if version == (1, 0)
                    else np.lib.format.read_array_header_2_0
                )
                shape, _, dtype = read(stream)
            if math.prod(shape) * dtype.itemsize > entry.file_size:
                raise SaeError(
                    f"{path}: {entry.filename} declares the shape {str(shape)[:80]}, more than it "
                    "holds; fetch the file again"
                )


def _first(problem: Exception) -> str:
    said = str(problem).splitlines()
    return said[0][:160] if said else type(problem).__name__


def widened(tensor: Tensor) -> Tensor:
    """Return floats of 16 bits in 32, other numbers unchanged."""
    narrow = tensor.is_floating_point() and tensor.itemsize == 2
    return tensor.float() if narrow and _is_plain(tensor) else tensor


def _is_plain(tensor: Tensor) -> bool:
    """Whether a tensor is stored as its shape says: dense, and not a view that repeats."""
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
        return False
    return tensor.numel() * tensor.itemsize <= tensor.untyped_storage().nbytes()


def state_dict(value: object, *, source: str) -> dict[str, Tensor]:
    """Return ``value`` as named tensors, widened.

    Raises:
        SaeError: it is something else.

    """
    if not isinstance(value, Mapping) or not all(
        isinstance(key, str) and isinstance(item, Tensor) for key, item in value.items()
    ):
        raise SaeError(f"{source}: holds no state dict of tensors; save `sae.state_dict()`")
    return {key: widened(item) for key, item in value.items()}


def take(tensors: Mapping[str, Tensor], *keys: str, source: str) -> tuple[Tensor, ...]:
    """Return the tensors named by ``keys``: matrices those of encoder and decoder, else vectors.

    Raises:
        SaeError: some are missing, or are no matrices or vectors of floats; the message lists all.

    """
    if missing := [key for key in keys if key not in tensors]:
        raise SaeError(
            f"{source}: weights {', '.join(missing)} are missing; the file holds "
            f"{', '.join(sorted(tensors))[:200]}; its config names another architecture"
        )
    for key in keys:
        tensor, axes = tensors[key], 2 if _MATRIX.fullmatch(key) else 1
        floats = tensor.is_floating_point() and tensor.itemsize >= 2 and _is_plain(tensor)
        if not (floats or key == "k") or tensor.ndim > axes or (axes == 2 and tensor.ndim != 2):
            raise SaeError(
                f"{source}: {key} is {str(tensor.dtype).removeprefix('torch.')} "
                f"{list(tensor.shape)}, expected floats of 16 bits or more with {axes} axes; "
                "quantised weights are not read: use the SAE that it was made from"
            )
    return tuple(tensors[key] for key in keys)


def refuse_unread(tensors: Mapping[str, Tensor], read: Collection[str], *, source: str) -> None:
    """Refuse tensors that the loader does not read: they might change the features.

    Raises:
        SaeError: the message names them.

    """
    if left := sorted(set(tensors) - set(read)):
        raise SaeError(
            f"{source}: nothing reads {', '.join(left)[:200]}, so the features may not be the ones "
            "that were trained; take it out of the file if it does not change them (a scale of "
            "quantised weights does), or fold it into the weights"
        )


def refuse_square(hidden: int, latent: int, *, source: str) -> None:
    """Refuse an SAE as wide as its stream: its matrices' orientation cannot be checked.

    Raises:
        SaeError: the two widths are equal.

    """
    if hidden == latent:
        raise SaeError(
            f"{source}: {latent} latents of width {hidden} make square matrices, whose orientation "
            "is ambiguous; use an SAE with another number of latents"
        )
