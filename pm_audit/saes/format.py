"""What a file format of sparse autoencoders is to the registry, and the files it reads.

A format recognises its own files by their names and keys, loads them, and names in words what
it loads and what it refuses; the documentation's matrix is generated from those words.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from pm_audit.errors import SaeError
from pm_audit.files import confined, read_json, sha256
from pm_audit.saes.hook import block_of_hook
from pm_audit.saes.sae import Sae

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
        configs = [self.folder / name for name in ("cfg.json", "config.json") if self.has(name)]
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
    """Read a safetensors file; floats narrower than 32 bits are widened."""
    try:
        return {key: widened(value) for key, value in load_file(path).items()}
    except (SafetensorError, OSError) as problem:
        raise SaeError(
            f"{path}: cannot be read as safetensors: {problem}; fetch the file again"
        ) from problem


def read_pickle(path: Path) -> Any:  # noqa: ANN401 - whatever the file holds
    """Read a torch file that holds tensors and plain containers only; no code of it runs."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as problem:
        raise SaeError(
            f"{path}: holds more than tensors, or is torn; nothing of it was run. "
            f"Save its state dict alone, best as safetensors ({str(problem).splitlines()[0][:160]})"
        ) from problem


def read_npz(path: Path) -> dict[str, Tensor]:
    """Read the arrays of an npz file; pickled objects are refused."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {key: widened(torch.from_numpy(arrays[key])) for key in arrays.files}
    except (OSError, ValueError, BadZipFile, TypeError, EOFError) as problem:
        raise SaeError(f"{path}: cannot be read as plain numpy arrays: {problem}") from problem


def widened(tensor: Tensor) -> Tensor:
    """Return floats in 32 bits at least, other numbers unchanged."""
    return tensor.float() if tensor.is_floating_point() and tensor.itemsize < 4 else tensor


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
    """Return the tensors named by ``keys``.

    Raises:
        SaeError: some are missing; the message lists all of them.

    """
    if missing := [key for key in keys if key not in tensors]:
        raise SaeError(
            f"{source}: weights {', '.join(missing)} are missing; the file holds "
            f"{', '.join(sorted(tensors))[:200]}; its config names another architecture"
        )
    return tuple(tensors[key] for key in keys)


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
