"""Replacing more than a set: features of some SAEs, their error term, or both.

These are the steps of the decomposition of a gap.  With every feature at its target, what still
sets the examples apart is the SAE's error term and what the completion's stream does not carry;
with the error term at its target as well, only the latter.  With all but a set replaced, the set
alone is left to carry what it can.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from pm_audit.forward.features import Floats
from pm_audit.forward.grid import Integers
from pm_audit.forward.packing import Batch
from pm_audit.forward.splice import Edit, after, replay_completions
from pm_audit.forward.targets import Targets
from pm_audit.forward.trace import Trace
from pm_audit.records import Feature
from pm_audit.subject.sae import Sae


def replace_all(
    trace: Trace,
    saes: Sequence[Sae],
    targets: Targets,
    *,
    rows: Sequence[int] | Integers | None = None,
    but: Collection[Feature] = (),
    features: bool = True,
    error: bool = False,
) -> Floats:
    """Return rewards [row] with parts of the SAEs' reading at their targets.

    Each SAE encodes the stream as the ones before it have left it, at its block or below.

    Args:
        trace: the clean forward.
        saes: whose parts are replaced.
        targets: what stands in their place.
        rows: rows of the grid; all for None.
        but: features that stay as they are.
        features: replace the features.
        error: replace the error terms.

    """

    def edit_of(sae: Sae) -> Edit:
        own = targets[sae.name]
        everything = torch.arange(sae.width, device=sae.W_dec.device)
        kept = [feature.index for feature in but if feature.sae == sae.name]

        def edit(batch: Batch, stream: Tensor) -> Tensor:
            current = stream.to(sae.W_dec.dtype)
            encoding = sae.encode(current)
            decoded = sae.decode(encoding)
            left = current - decoded
            if features:
                replaced = own.at(batch.completion, everything).to(current.dtype)
                replaced[:, kept] = encoding.features[:, kept]
                decoded = sae.decode(encoding.with_features(replaced))
            if error:
                left = own.error[own.groups_of(batch.completion)].to(current.dtype)
            return (decoded + left).to(stream.dtype)

        return edit

    edits: dict[int, Edit] = {}
    for sae in saes:
        before, edit = edits.get(sae.layer), edit_of(sae)
        edits[sae.layer] = edit if before is None else after(before, edit)
    return replay_completions(trace, edits, rows)
