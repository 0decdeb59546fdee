"""The base as transformers makes it from the GGUF file, converted once and kept next to that file.

Reading the GGUF takes about sixteen CPU seconds, reading the copy half a second.  The copy is 255
MB for ten blocks.  It holds the hashes of its files and of the GGUF file, and is made again when
one of them differs.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import save_file
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from pm_audit.files import sha256
from pm_audit.loading.wheels import scratch_folder

Base = tuple[PreTrainedModel, PreTrainedTokenizerBase]

_NOTE = "made_from.json"


def load_converted(
    gguf: Path, what: str, convert: Callable[[], Base], *, auto: Any = AutoModel
) -> Base:
    """Return what is made of a GGUF file, with its tokenizer, from the copy next to ``gguf``.

    Args:
        gguf: the file.
        what: what is made of it, as the copy's folder is named: ``10-blocks``.
        convert: reads the GGUF if there is no whole copy; its result is kept.
        auto: class of transformers that reads the copy.

    """
    folder = gguf.with_name(f"{gguf.stem}.{what}")
    source = {"gguf": sha256([gguf]), "transformers": transformers.__version__}
    # a whole copy is read without a lock: the cache may be read-only.
    found = _read(folder, source, auto)
    if found is not None:
        return found
    with contextlib.ExitStack() as held:
        try:
            # parallel test workers share one cache: the first one converts, the others wait.
            held.enter_context(FileLock(folder.with_name(f"{folder.name}.lock")))
        except OSError:
            return convert()
        found = _read(folder, source, auto)
        if found is not None:
            return found
        base = convert()
        try:
            _keep(base, folder, source)
        except (OSError, SafetensorError):
            # on a full or read-only disk the next start converts again
            shutil.rmtree(folder, ignore_errors=True)
        return base


def _read(folder: Path, source: dict[str, str], auto: Any) -> Base | None:
    """Return what the copy holds, or None if it is not whole or is being replaced."""
    if not _is_whole(folder, source):
        return None
    try:
        model = auto.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
        return model, AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, SafetensorError):
        return None


def _keep(base: Base, folder: Path, source: dict[str, str]) -> None:
    """Write the whole copy next to its place, and move it there."""
    model, tokenizer = base
    with scratch_folder(folder) as scratch:
        made = scratch / folder.name
        made.mkdir()
        save_file(_apart(model), made / "model.safetensors", metadata={"format": "pt"})
        model.config.save_pretrained(made)
        tokenizer.save_pretrained(made)
        hashes = {path.name: sha256([path]) for path in sorted(made.iterdir())}
        note = json.dumps({**source, "files": hashes}, indent=1)
        (made / _NOTE).write_text(note, encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        made.replace(folder)


def _apart(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """Return the weights without a second name of the same tensor, which loading ties again."""
    found: dict[int, str] = {}
    weights: dict[str, torch.Tensor] = model.state_dict()
    for name, weight in weights.items():
        found.setdefault(weight.data_ptr(), name)
    return {name: weights[name] for name in found.values()}


def _is_whole(folder: Path, source: dict[str, str]) -> bool:
    try:
        note = json.loads((folder / _NOTE).read_text(encoding="utf-8"))
        hashes = {path.name: sha256([path]) for path in folder.iterdir() if path.name != _NOTE}
    except (OSError, ValueError):
        return False
    return bool(note == {**source, "files": hashes})
