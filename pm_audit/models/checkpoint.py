"""A preference model's folder: what it holds, found out without running or trusting any of it.

Names that the folder's own indices give are confined to the folder, weights are listed from
their headers, and pickles are read with ``weights_only=True`` alone.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from safetensors import SafetensorError, safe_open
from torch import Tensor

from pm_audit.errors import ModelError
from pm_audit.files import confined, read_json, sha256

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_WANTED = ["*.json", "*.safetensors", "*.bin", "*.pt", "*.model", "*.txt", "*.jinja", "*.gguf"]
_INDICES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_OF_SAES = ("sae_weights.safetensors", "sae.safetensors", "ae.pt", "params.npz")
_WHOLE = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True)
class Checkpoint:
    """A folder of configuration and weights, or one GGUF file in a folder."""

    name: str
    """As the user named it."""
    folder: Path
    gguf: str | None = None
    """Name of the GGUF file in the folder, where that is what the user named."""

    @cached_property
    def config(self) -> dict[str, Any]:
        """``config.json`` of the folder, empty for a GGUF file or an adapter without one."""
        path = self.folder / "config.json"
        if self.gguf is not None or not path.exists():
            return {}
        return read_json(confined(self.folder, path.name, error=ModelError), error=ModelError)

    @property
    def architecture(self) -> str:
        """The class that the configuration names first, or nothing."""
        named = self.config.get("architectures") or [""]
        return str(named[0])

    @cached_property
    def adapter(self) -> dict[str, Any] | None:
        """``adapter_config.json`` of PEFT, or None."""
        if not (self.folder / "adapter_config.json").exists():
            return None
        path = confined(self.folder, "adapter_config.json", error=ModelError)
        return read_json(path, error=ModelError)

    @cached_property
    def weight_files(self) -> tuple[Path, ...]:
        """Every file that holds weights, indices followed and confined to the folder.

        Raises:
            ModelError: there is none, or an index leads outside the folder.

        """
        if self.gguf is not None:
            return (confined(self.folder, self.gguf, error=ModelError),)
        for name in _INDICES:
            if (self.folder / name).exists():
                return self._sharded(name)
        for name in (*_WHOLE, "adapter_model.safetensors", "adapter_model.bin"):
            if (self.folder / name).exists():
                return (confined(self.folder, name, error=ModelError),)
        raise ModelError(
            f"{self.name}: no weights in the folder; expected {' or '.join(_WHOLE)}, or an index; "
            f"{_what_instead(self.folder)}"
        )

    def _sharded(self, name: str) -> tuple[Path, ...]:
        index = read_json(confined(self.folder, name, error=ModelError), error=ModelError)
        shards = index.get("weight_map")
        if not isinstance(shards, Mapping) or not all(isinstance(s, str) for s in shards.values()):
            raise ModelError(f"{self.name}: {name} has no weight_map of file names; fetch it again")
        paths = tuple(
            confined(self.folder, shard, error=ModelError) for shard in sorted(set(shards.values()))
        )
        if missing := [path.name for path in paths if not path.is_file()]:
            raise ModelError(
                f"{self.name}: shards {', '.join(missing[:5])} are missing; fetch them"
            )
        return paths

    @cached_property
    def keys(self) -> frozenset[str]:
        """Names of the weights, read from headers; empty for GGUF."""
        if self.gguf is not None:
            return frozenset()
        return frozenset(key for path in self.weight_files for key in self.keys_in(path))

    def keys_in(self, path: Path) -> list[str]:
        """Names of the weights in one of the files."""
        if path.suffix != ".safetensors":
            return list(read_pickle(path))
        try:
            with safe_open(path, framework="pt") as weights:
                return list(weights.keys())
        except (SafetensorError, OSError) as problem:
            raise ModelError(
                f"{path}: cannot be read as safetensors: {problem}; fetch the file again"
            ) from problem

    def tensors(self, prefix: str, *, wanted: set[str] | None = None) -> dict[str, Tensor]:
        """Read the weights under ``prefix``, which is taken off their names.

        Args:
            prefix: what their names start with.
            wanted: names without the prefix; None takes all.

        """
        found: dict[str, Tensor] = {}
        for path in self.weight_files:
            here = {
                key.removeprefix(prefix): key
                for key in self.keys_in(path)
                if key.startswith(prefix)
            }
            asked = {name: key for name, key in here.items() if wanted is None or name in wanted}
            if path.suffix == ".safetensors":
                with safe_open(path, framework="pt") as weights:
                    found |= {name: weights.get_tensor(key) for name, key in asked.items()}
            elif asked:
                held = read_pickle(path)
                found |= {name: held[key] for name, key in asked.items()}
        return found

    def sha256(self) -> str:
        """Return the hash of weights and configurations."""
        configs = ("config.json", "adapter_config.json")
        present = [self.folder / name for name in configs if (self.folder / name).exists()]
        return sha256([*self.weight_files, *(present if self.gguf is None else [])])

    def check_links(self) -> None:
        """Refuse a folder in which any file that a loader may open is a link out of it.

        Raises:
            ModelError: such a link is there.

        """
        if self.gguf is None:
            for path in self.folder.iterdir():
                confined(self.folder, path.name, error=ModelError)


def _what_instead(folder: Path) -> str:
    """Say what a folder without a model's weights is, as far as its names tell."""
    names = sorted(path.name for path in folder.iterdir())
    if any((folder / name).is_file() for name in _OF_SAES):
        return "it is an SAE's folder: name the PM first, then its SAEs"
    inner = [name for name in names if (folder / name / "config.json").is_file()]
    if inner:
        return f"its folders {', '.join(inner[-4:])} hold models: name one of them"
    if not names:
        return "the folder is empty: fetch the model, or check the path"
    return f"it holds {', '.join(names[:6])}: fetch the weights, or name the folder that has them"


def read_pickle(path: Path) -> dict[str, Tensor]:
    """Read a torch file of named tensors; no code of it runs.

    Raises:
        ModelError: it holds anything else.

    """
    try:
        held = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as problem:
        raise ModelError(
            f"{path}: holds more than tensors, or is torn; nothing of it was run. Save the model "
            f"as safetensors ({str(problem).splitlines()[0][:160]})"
        ) from problem
    if not isinstance(held, dict) or not all(isinstance(value, Tensor) for value in held.values()):
        raise ModelError(f"{path}: holds no state dict of tensors; save the model as safetensors")
    return held


def open_checkpoint(name: str | Path, *, remote: bool = True) -> Checkpoint:
    """Find a checkpoint: a folder, a GGUF file, or a name on the Hugging Face hub.

    Args:
        name: path or ``organisation/model``; a local path is tried first.
        remote: whether the hub may be asked; its cache is always looked at.

    Raises:
        ModelError: nothing is there, or a file of it links out of its folder.

    """
    path = Path(name)
    if path.is_dir():
        found = Checkpoint(str(name), path)
    elif path.is_file() and path.suffix == ".gguf":
        found = Checkpoint(str(name), path.parent, path.name)
    elif path.exists():
        raise ModelError(
            f"{name}: one file, and neither a model's folder nor a GGUF file; name the folder"
        )
    elif _HUB_NAME.fullmatch(str(name)):
        found = Checkpoint(str(name), _from_hub(str(name), remote=remote))
    else:
        raise ModelError(f"{name}: no such folder; check the path of the preference model")
    found.check_links()
    return found


def _from_hub(name: str, *, remote: bool) -> Path:
    try:
        return Path(snapshot_download(name, allow_patterns=_WANTED, local_files_only=not remote))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as problem:
        raise ModelError(
            f"{name}: no such folder, and the Hugging Face hub cannot provide it "
            f"({type(problem).__name__}); check the name, the network, or the path"
        ) from problem


def hash_tokenizer(tokenizer: Any) -> str:
    """Return the hash of a fast tokenizer: its vocabulary, rules, and chat template."""
    parts = [tokenizer.backend_tokenizer.to_str(), json.dumps(tokenizer.chat_template or "")]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
