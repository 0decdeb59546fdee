"""What a file format of sparse autoencoders is to the registry, and the files it reads.

A format recognises its own files by their names and keys, loads them, and names in words what
it loads and what it refuses; the documentation's matrix is generated from those words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from pm_audit.errors import SaeError
from pm_audit.files import confined, named, read_json, sha256
from pm_audit.loading.options import Options
from pm_audit.loading.saes.hook import block_of_hook
from pm_audit.subject.activation import Activation
from pm_audit.subject.sae import Sae

_CONFIGS = ("cfg.json", "config.json", "activation_scaler.json")
_WEIGHTS = (".pt", ".pth", ".bin", ".npz", ".safetensors")

TRANSCODER = "a transcoder predicts another place than it reads"
CROSSCODER = "it reads several places at once"
SIGNED = "its features are signed, and a contribution needs features of one sign"
INSIDE = "audits splice the residual stream between blocks"
"""Reasons to refuse an SAE, in several formats."""


@dataclass(frozen=True)
class SaeFiles:
    """An SAE on disk, as the user named it."""

    folder: Path
    """The folder, or the folder of the file."""
    weights: Path | None = None
    """The weights file, if the user named one."""
    name: str = ""
    """The name that the audit gives this SAE."""
    layer: int | None = None
    """Block named by the user, which goes before the file's own."""

    @classmethod
    def at(cls, path: Path, *, name: str | None = None, layer: int | None = None) -> SaeFiles:
        """Return the files at ``path``, a folder or a weights file."""
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
        """Path of the SAE's feature index; a folder may hold several weights files."""
        own = "" if self.weights is None else f"{self.weights.stem}."
        return self.folder / f"{own}features.json"

    def has(self, name: str) -> bool:
        """Whether the folder holds the file ``name``."""
        return (self.folder / name).is_file()

    def weights_file(self, name: str) -> Path | None:
        """Return the weights file ``name``, or None if it is absent or the user named another."""
        if self.weights is not None:
            return self.weights if self.weights.name == name else None
        return confined(self.folder, name, error=SaeError) if self.has(name) else None

    def located(self, name: str) -> tuple[SaeFiles, Path]:
        """Return the same SAE, and its weights: those that the user named, or else ``name``."""
        weights = self.weights or self.weights_file(name)
        if weights is None:
            raise SaeError(f"{self.source}: the weights {name} are missing; fetch them too")
        return replace(self, weights=weights), weights

    def config(self, name: str) -> dict[str, Any]:
        """Return the JSON object in the file ``name`` of the folder."""
        return read_json(confined(self.folder, name, error=SaeError), error=SaeError)

    def options(self, held: Mapping[str, Any], file: str) -> Options:
        """Return options of a configuration ``file`` of this SAE."""
        return Options(held, self.source, file, SaeError)

    @cached_property
    def _hashed(self) -> list[Path]:
        configs = [self.folder / name for name in _CONFIGS if self.has(name)]
        return [path for path in (self.weights, *configs) if path is not None]

    def sha256(self) -> str:
        """Return the hash of the weights and of the configurations in their folder."""
        return sha256(self._hashed)

    def block(self, hook: str | None) -> int:
        """Return the block that the SAE reads: the user's, or else that of the hook's name."""
        if self.layer is not None:
            return self.layer
        if hook is None:
            raise SaeError(
                f"{self.source}: the files do not say which layer they read; name it: "
                f"{self.source}@LAYER, the block after which it reads, counted from 0"
            )
        return block_of_hook(hook, source=self.source)

    def sae(
        self,
        *,
        layer: int,
        architecture: str,
        W_enc: Tensor,  # noqa: N803 - the field's names
        W_dec: Tensor,  # noqa: N803
        b_enc: Tensor,
        b_dec: Tensor,
        activation: Activation,
        source: str | None = None,
        sha256: str | None = None,
        **more: Any,
    ) -> Sae:
        """Return the SAE of these weights; ``source`` and ``sha256`` replace those of the files."""
        latent, hidden = W_dec.shape
        if latent == hidden:
            raise SaeError(
                f"{self.source}: {latent} latents of width {hidden} make square matrices, whose "
                "orientation is ambiguous; use an SAE with another number of latents"
            )
        return Sae(
            name=self.name,
            layer=layer,
            architecture=architecture,
            source=source or self.source,
            sha256=sha256 or self.sha256(),
            W_enc=W_enc.contiguous(),
            b_enc=b_enc,
            W_dec=W_dec.contiguous(),
            b_dec=b_dec,
            activation=activation,
            **more,
        )


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
    """Returns the SAE, or raises SaeError if it is refused or its weights do not fit its config."""
