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

from pm_audit.forward.features import Floats, SparseFeatures, active_features
from pm_audit.forward.grid import Integers
from pm_audit.forward.packing import Batch
from pm_audit.forward.splice import Edit, after, replay_completions
from pm_audit.forward.targets import SaeTargets, Targets
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
    lowest = min(sae.layer for sae in saes)
    edits: dict[int, Edit] = {}
    for sae in saes:
        before = edits.get(sae.layer)
        clean = trace.features[sae.name] if before is None and sae.layer == lowest else None
        kept = [feature.index for feature in but if feature.sae == sae.name]
        edit = _replacing(sae, targets[sae.name], kept, clean, features=features, error=error)
        edits[sae.layer] = edit if before is None else after(before, edit)
    return replay_completions(trace, edits, rows)


def _replacing(
    sae: Sae,
    targets: SaeTargets,
    kept: Sequence[int],
    clean: SparseFeatures | None,
    *,
    features: bool,
    error: bool,
) -> Edit:
    """Return the edit of one SAE; ``clean`` are its features if it reads the clean stream."""
    decoded_targets = targets.decoded(sae)
    latents = sae.W_dec.new_tensor(kept).long()

    def edit(batch: Batch, stream: Tensor) -> Tensor:
        current = stream.to(sae.W_dec.dtype)
        if clean is None:
            found, at = active_features(sae, current), torch.arange(len(stream)).to(stream.device)
        else:
            found, at = clean, batch.completion
        group = targets.groups_of(batch.completion)
        decoded = found.reconstruction[at]
        left = targets.error[group] if error else current - decoded
        if features:
            change = found.of(latents)[at] - targets.at(batch.completion, latents)
            replaced = decoded_targets[group] + change @ sae.W_dec[latents]
            decoded = found.without_features(at) + found.scale[at, None] * replaced
        return (decoded + left).to(stream.dtype)

    return edit
