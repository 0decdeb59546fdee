"""A preference model's folder: what it holds, read without running or trusting any of it.

Names that the folder's own indices give are confined to the folder, weights are listed from
their headers, and pickles are read with ``weights_only=True`` alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from safetensors import safe_open
from torch import Tensor

from pm_audit.errors import ModelError
from pm_audit.files import (
    check_links,
    confined,
    is_hub_name,
    named,
    read_json,
    refuse_pointer,
    sha256,
)
from pm_audit.loading.checkpoint.stored import (
    Stored,
    harmless,
    listed,
    read_pickle,
    refuse_quantised,
)
from pm_audit.loading.foreign import explained
from pm_audit.loading.options import Options

_WANTED = ["*.json", "*.safetensors", "*.bin", "*.pt", "*.model", "*.txt", "*.jinja", "*.gguf"]
_OF_SAES = ("sae_weights.safetensors", "sae.safetensors", "ae.pt", "params.npz")
_WHOLE = ("model.safetensors", "pytorch_model.bin")
_INDEX = ".index.json"
_FOUND_FIRST = tuple(name for whole in _WHOLE for name in (whole, whole + _INDEX))
"""Files of weights in the order in which transformers looks for them."""
_ADAPTERS = ("adapter_model.safetensors", "adapter_model.bin")
"""The same for adapters, in the order of peft."""


@dataclass(frozen=True)
class Checkpoint:
    """A folder of configuration and weights, or one GGUF file in a folder."""

    name: str
    """As the user named it."""
    folder: Path
    gguf: str | None = None
    """Name of the GGUF file in the folder, if the user named that."""

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
        names = self.config.get("architectures")
        first = names[0] if isinstance(names, list) and names else names
        return first[:200] if isinstance(first, str) else ""

    @property
    def options(self) -> Options:
        """The options of ``config.json``."""
        return Options(self.config, self.name, "config.json", ModelError)

    @property
    def is_whole(self) -> bool:
        """Whether it is a whole model: no GGUF file, which has no head, and no adapter."""
        return self.gguf is None and self.adapter is None

    @cached_property
    def adapter(self) -> dict[str, Any] | None:
        """``adapter_config.json`` of PEFT, or None."""
        if not (self.folder / "adapter_config.json").exists():
            return None
        path = confined(self.folder, "adapter_config.json", error=ModelError)
        return read_json(path, error=ModelError)

    @cached_property
    def weight_files(self) -> tuple[Path, ...]:
        """Every file whose weights are loaded; indices are followed inside the folder only."""
        if self.gguf is not None:
            return (confined(self.folder, self.gguf, error=ModelError),)
        if self.config.get("transformers_weights") is not None:
            raise ModelError(
                f"{self.name}: config.json names its own file of weights (transformers_weights); "
                f"rename that file {_WHOLE[0]} and remove the key"
            )
        for name in _FOUND_FIRST if self.adapter is None else _ADAPTERS:
            if (self.folder / name).is_file():
                path = confined(self.folder, name, error=ModelError)
                return self._sharded(name) if name.endswith(_INDEX) else (path,)
        if self.adapter is not None:
            raise ModelError(
                f"{self.name}: adapter_config.json makes it an adapter, and "
                f"{' or '.join(_ADAPTERS)} is missing; fetch it, or remove "
                "adapter_config.json from a whole model's folder"
            )
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
        if not paths:
            raise ModelError(f"{self.name}: {name} names no file of weights; fetch it again")
        return paths

    @cached_property
    def stored(self) -> Mapping[str, Stored]:
        """Every tensor of the files by its name, wrappers taken off; empty for GGUF."""
        if self.gguf is not None:
            return {}
        return listed(self.weight_files, adapter=self.adapter is not None, source=self.name)

    @cached_property
    def keys(self) -> frozenset[str]:
        """Names of the weights, read from headers; empty for GGUF."""
        return frozenset(self.stored)

    @property
    def wrapped(self) -> bool:
        """Whether the files spell the names with a wrapper's words in them."""
        return any(name != held.key for name, held in self.stored.items())

    def refuse_quantised(self) -> None:
        """Refuse weights that are not plain floats; GGUF files are dequantised by transformers."""
        for key in ("quantization_config", "compression_config", "quantization"):
            if value := self.config.get(key):
                method = value.get("quant_method") if isinstance(value, Mapping) else value
                raise ModelError(
                    f"{self.name}: config.json has {key} ({str(method)[:60]}), so its weights are "
                    "quantised, or would be on loading; use the checkpoint that it was made from, "
                    f"or, if the weights are plain floats, remove {key} from config.json"
                )
        refuse_quantised(self.stored, source=self.name)

    def tensors(self, prefix: str, *, wanted: set[str] | None = None) -> dict[str, Tensor]:
        """Return the weights under ``prefix``, or those ``wanted``, by their names without it."""
        taken = {
            name.removeprefix(prefix): held
            for name, held in self.stored.items()
            if name.startswith(prefix) and (wanted is None or name.removeprefix(prefix) in wanted)
        }
        refuse_quantised({prefix + name: held for name, held in taken.items()}, source=self.name)
        found: dict[str, Tensor] = {}
        for path in {held.path for held in taken.values()}:
            here = {name: held.key for name, held in taken.items() if held.path == path}
            if path.suffix == ".safetensors":
                with safe_open(path, framework="pt") as weights:
                    found |= {name: weights.get_tensor(key) for name, key in here.items()}
            else:
                pickled = read_pickle(path)
                found |= {name: pickled[key] for name, key in here.items()}
        return {name: found[name] for name in taken}

    def sha256(self) -> str:
        """Return the hash of weights and configurations."""
        configs = ("config.json", "adapter_config.json")
        present = [self.folder / name for name in configs if (self.folder / name).exists()]
        return sha256([*self.weight_files, *(present if self.gguf is None else [])])

    def refuse_unread(self, names: Iterable[str]) -> None:
        """Refuse tensors that no module reads and that are not known to be harmless."""
        left = sorted(name for name in names if not harmless(name, self.stored.get(name)))
        if left:
            raise ModelError(
                f"{self.name}: nothing reads {', '.join(left[:5])}{', ...' if left[5:] else ''}, "
                "so the reward may not be the one that was trained; take them out of the file if "
                "they do not change it, or use the class that reads them"
            )


def _what_instead(folder: Path) -> str:
    """Return what a folder without a model's weights holds, judged by its file names."""
    names = sorted(path.name for path in folder.iterdir())
    if any((folder / name).is_file() for name in _OF_SAES):
        return "it is an SAE's folder: name the PM first, then its SAEs"
    inner = [name for name in names if (folder / name / "config.json").is_file()]
    if inner:
        return f"its folders {', '.join(inner[-4:])} hold models: name one of them"
    if not names:
        return "the folder is empty: fetch the model, or check the path"
    return f"it holds {', '.join(names[:6])}: fetch the weights, or name the folder that has them"


def open_checkpoint(name: str | Path) -> Checkpoint:
    """Find a checkpoint: a folder, a GGUF file, or a name on the Hugging Face hub.

    A local path is tried first, then ``organisation/model`` in the hub's cache and on the hub.

    Raises:
        ModelError: nothing is there, or a file of it links out of its folder.

    """
    path = named(name, error=ModelError)
    if path.is_dir():
        found = Checkpoint(str(name), path)
    elif path.is_file() and path.suffix == ".gguf":
        refuse_pointer(path, error=ModelError)
        found = Checkpoint(str(name), path.parent, path.name)
    elif path.exists():
        raise ModelError(
            f"{name}: one file, and neither a model's folder nor a GGUF file; name the folder"
        )
    elif is_hub_name(str(name)):
        what = f"{name}: no such folder, and the Hugging Face hub cannot provide it"
        with explained(ModelError, what, "check the name, the network, or the path"):
            folder = snapshot_download(str(name), allow_patterns=_WANTED)
        found = Checkpoint(str(name), Path(folder))
    else:
        raise ModelError(f"{name}: no such folder; check the path of the preference model")
    if found.gguf is None:
        check_links(found.folder, error=ModelError)
    return found
