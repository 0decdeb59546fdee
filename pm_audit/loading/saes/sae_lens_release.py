"""SAEs named ``release/sae_id``, from the list that SAELens keeps, if sae-lens is installed.

The library fetches the files and converts their format to its own; what it returns is read like
a file that it saved.
"""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path

from pm_audit.errors import SaeError
from pm_audit.loading.foreign import explained
from pm_audit.loading.saes import sae_lens
from pm_audit.loading.saes.format import SaeFiles
from pm_audit.loading.saes.weights import Weights
from pm_audit.subject.sae import Sae


def load(release_name: str, *, name: str | None = None, layer: int | None = None) -> Sae:
    """Fetch and load ``release/sae_id``; the part before the first slash is the release.

    Raises:
        SaeError: sae-lens is absent, does not know the name, cannot fetch it, or it is refused.

    """
    try:
        library = importlib.import_module("sae_lens")
    except ImportError:
        raise SaeError(
            f"{release_name}: no such folder, and names of SAELens need sae-lens; "
            "`pip install sae-lens`, or check the path"
        ) from None
    release, _, sae_id = release_name.partition("/")
    what = f"{release_name}: no such folder, and sae-lens cannot provide it"
    with explained(SaeError, what, "check release and sae_id, the network, or the path"):
        found = library.SAE.from_pretrained(release, sae_id, device="cpu")
    files = SaeFiles(Path(release_name), None, name or sae_id.replace("/", "_"), layer)
    weights = Weights(found.state_dict(), source=release_name)
    config = sae_lens.read_config(found.cfg.to_dict(), files)
    digest = hashlib.sha256(repr(config).encode())
    for key in sorted(weights.held):
        digest.update(key.encode() + weights.held[key].contiguous().numpy().tobytes())
    return sae_lens.build(config, weights, files, sha256=digest.hexdigest())
