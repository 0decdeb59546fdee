"""The base as transformers makes it from the GGUF file, converted once and kept beside that file.

Reading the GGUF costs about sixteen CPU seconds, most of them for its vocabulary and for finding
names; what comes of it is read back in half a second.  The copy is 255 MB for ten blocks, holds
the hash of each of its files and of what it was made from, and is made anew when any of these is
not as written down.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
import transformers
from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import save_file
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from pm_audit.files import sha256
from pm_audit.loading.default.base import scratch_folder

Base = tuple[PreTrainedModel, PreTrainedTokenizerBase]

_NOTE = "made_from.json"


def load_converted(gguf: Path, depth: int, convert: Callable[[], Base]) -> Base:
    """Return the base's first ``depth`` blocks and tokenizer, from the copy beside ``gguf``.

    Args:
        gguf: the file that the base came in, verified already.
        depth: blocks of the copy.
        convert: reads the GGUF; called where there is no whole copy, and its result is kept.

    """
    folder = gguf.with_name(f"{gguf.stem}.{depth}-blocks")
    source = {"gguf": sha256([gguf]), "transformers": transformers.__version__}
    # A whole copy is read without a lock: the cache may be read-only.
    found = _read(folder, source)
    if found is not None:
        return found
    with contextlib.ExitStack() as held:
        try:
            # Parallel test workers share one cache: the first one converts, the others wait.
            held.enter_context(FileLock(folder.with_name(f"{folder.name}.lock")))
        except OSError:
            return convert()
        found = _read(folder, source)
        if found is not None:
            return found
        base = convert()
        try:
            _keep(base, folder, source)
        except (OSError, SafetensorError):
            # A full or read-only disk costs the next start its time, and this one nothing.
            shutil.rmtree(folder, ignore_errors=True)
        return base


def _read(folder: Path, source: dict[str, str]) -> Base | None:
    """Return what the copy holds; None where it is not whole, or is being replaced."""
    if not _is_whole(folder, source):
        return None
    try:
        model = AutoModel.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
        return model, AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, SafetensorError):
        return None


def _keep(base: Base, folder: Path, source: dict[str, str]) -> None:
    """Write the copy whole, beside its place, and move it there."""
    model, tokenizer = base
    with scratch_folder(folder) as scratch:
        made = scratch / folder.name
        made.mkdir()
        save_file(model.state_dict(), made / "model.safetensors", metadata={"format": "pt"})
        model.config.save_pretrained(made)
        tokenizer.save_pretrained(made)
        hashes = {path.name: sha256([path]) for path in sorted(made.iterdir())}
        note = json.dumps({**source, "files": hashes}, indent=1)
        (made / _NOTE).write_text(note, encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        made.replace(folder)


def _is_whole(folder: Path, source: dict[str, str]) -> bool:
    try:
        note = json.loads((folder / _NOTE).read_text(encoding="utf-8"))
        hashes = {path.name: sha256([path]) for path in folder.iterdir() if path.name != _NOTE}
    except (OSError, ValueError):
        return False
    return bool(note == {**source, "files": hashes})
