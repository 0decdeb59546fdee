"""The formats of sparse autoencoders that load, open to other packages.

A format is one file and one entry of ``BUILT_IN``.  Another package adds one by an entry point of
the group ``pm_audit.saes`` that names an ``SaeFormat``; it goes before the built-in ones.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from pm_audit.errors import SaeError
from pm_audit.extensions import extensions, guarded_if_added
from pm_audit.files import exists, named
from pm_audit.loading.saes import (
    dictionary_learning,
    gemma_scope,
    openai,
    sae_lens,
    sae_lens_legacy,
    sae_lens_release,
    sparsify,
)
from pm_audit.loading.saes.format import SaeFiles, SaeFormat
from pm_audit.loading.saes.spelling import looks_like_release, spelled_out
from pm_audit.subject.sae import Sae

GROUP = "pm_audit.saes"
BUILT_IN: tuple[SaeFormat, ...] = (
    sae_lens.FORMAT,
    sae_lens_legacy.FORMAT,
    sparsify.FORMAT,
    gemma_scope.FORMAT,
    dictionary_learning.PUBLISHED,
    dictionary_learning.FORMAT,
    openai.FORMAT,
)


def load(
    path: str | Path,
    *,
    name: str | None = None,
    layer: int | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Sae:
    """Load one SAE from a folder, a weights file, or SAELens's ``release/sae_id``.

    Args:
        path: a local path is tried first; ``NAME=PATH@LAYER`` gives name and layer too, each of
            them optional.
        name: what the audit calls it; without one, the folder's or file's name.
        layer: block whose output it reads, counted from 0; goes before the file's own.
        device: where its weights go.
        dtype: dtype of its weights; narrower floats on disk are widened.

    Raises:
        SaeError: nothing is there, no format knows the files, or the SAE is refused.

    """
    if not exists(path):
        path, name, layer = spelled_out(str(path), name, layer)
    named(path, error=SaeError)
    if not exists(path) and looks_like_release(str(path)):
        return sae_lens_release.load(str(path), name=name, layer=layer).to(device, dtype)
    files = SaeFiles.at(Path(path), name=name, layer=layer)
    known = (*extensions(GROUP, SaeFormat, error=SaeError), *BUILT_IN)
    for kind in known:
        with guarded_if_added(kind, BUILT_IN, GROUP, error=SaeError):
            if kind.recognises(files):
                return replace(kind.load(files).to(device, dtype), index_path=files.index_path)
    held = sorted(entry.name[:80] for entry in files.folder.iterdir())
    raise SaeError(
        f"{files.source}: no known SAE format is made of these files "
        f"({', '.join(held[:6]) or 'there are none'}); name the folder of the SAE itself; known: "
        + "; ".join(f"{kind.name} ({kind.files})" for kind in known)
    )
