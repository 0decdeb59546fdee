"""Whether SAEs are compatible with a PM: names, width of the stream, and layer.

Whether they were trained on it is measured by their fit.
"""

from __future__ import annotations

from collections.abc import Sequence

from pm_audit.errors import SaeError
from pm_audit.subject.preference_model import PreferenceModel
from pm_audit.subject.sae import Sae


def require_saes_of(pm: PreferenceModel, saes: Sequence[Sae]) -> None:
    """Refuse SAEs that cannot read this PM's stream, or that share a name.

    Raises:
        SaeError: two share a name, or one is of another width, or of a layer that is not there.

    """
    names = [sae.name for sae in saes]
    for name in names:
        if names.count(name) > 1:
            raise SaeError(f"two SAEs are named {name!r}; give each a name of its own")
    for sae in saes:
        if sae.hidden_size != pm.hidden_size:
            raise SaeError(
                f"{sae.source}: SAE {sae.name!r} reads a stream of width {sae.hidden_size}, this "
                f"PM's is {pm.hidden_size}: it was trained on another model; use an SAE of this PM "
                "or of its base"
            )
        if not 0 <= sae.layer < pm.depth:
            raise SaeError(
                f"{sae.source}: SAE {sae.name!r} reads after block {sae.layer}, this PM has blocks "
                f"0 to {pm.depth - 1}; check that the SAE is of this PM, or name its layer: "
                "PATH@LAYER"
            )
