"""SAEs named ``release/sae_id``, from the list that SAELens keeps, when sae-lens is installed.

The library fetches the files and converts their format to its own; what it returns is read as
a file that it saved would be.
"""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path

from pm_audit.errors import SaeError
from pm_audit.loading.saes import sae_lens
from pm_audit.loading.saes.format import SaeFiles, widened
from pm_audit.subject.sae import Sae


def load(name_of_release: str, *, name: str | None = None, layer: int | None = None) -> Sae:
    """Fetch and load an SAE of SAELens's list.

    Args:
        name_of_release: ``release/sae_id``; the part before the first slash is the release.
        name: what the audit calls it.
        layer: block whose output it reads; outweighs the hook of its configuration.

    Raises:
        SaeError: sae-lens is absent, does not know the name, cannot fetch it, or it is refused.

    """
    try:
        library = importlib.import_module("sae_lens")
    except ImportError:
        raise SaeError(
            f"{name_of_release}: no such folder, and names of SAELens need sae-lens; "
            "`pip install sae-lens`, or check the path"
        ) from None
    release, _, sae_id = name_of_release.partition("/")
    try:
        found = library.SAE.from_pretrained(release, sae_id, device="cpu")
    except Exception as problem:  # the library's fetchers raise whatever their hub does
        raise SaeError(
            f"{name_of_release}: no such folder, and sae-lens cannot provide it: "
            f"{str(problem).splitlines()[0][:200] if str(problem) else type(problem).__name__}; "
            "check release and sae_id, the network, or the path"
        ) from problem
    tensors = {key: widened(value) for key, value in found.state_dict().items()}
    settings = sae_lens.read_settings(found.cfg.to_dict(), source=name_of_release)
    digest = hashlib.sha256(repr(settings).encode())
    for key in sorted(tensors):
        digest.update(key.encode() + tensors[key].contiguous().numpy().tobytes())
    files = SaeFiles(Path(name_of_release), None, name or sae_id.replace("/", "_"), layer)
    return sae_lens.build(settings, tensors, files, sha256=digest.hexdigest())
