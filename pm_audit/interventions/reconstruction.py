"""Replacing more than a set: every feature of some SAEs, or the whole stream at their layers.

Two steps of the decomposition of a gap.  With every feature at its target, what still sets the
examples apart is the SAE's error term and what the completion's stream does not carry; with the
whole stream at its mean over reference rows, only the latter.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pm_audit.forward.features import Floats
from pm_audit.forward.grid import Integers
from pm_audit.forward.packing import Batch
from pm_audit.forward.splice import Edit, replay_completions
from pm_audit.forward.targets import Targets
from pm_audit.forward.trace import Trace
from pm_audit.subject.sae import Sae


def replace_features(
    trace: Trace,
    saes: Sequence[Sae],
    targets: Targets,
    *,
    rows: Sequence[int] | Integers | None = None,
) -> Floats:
    """Return rewards [row] with every feature of the SAEs at its target; error terms stay.

    Each SAE encodes the stream as the ones before it have left it, at its block or below.
    """

    def edit_of(sae: Sae) -> Edit:
        everything = torch.arange(sae.width, device=sae.W_dec.device)

        def edit(batch: Batch, stream: Tensor) -> Tensor:
            current = stream.to(sae.W_dec.dtype)
            encoding = sae.encode(current)
            features = targets[sae.name].at(batch.completion, everything).to(current.dtype)
            replaced = encoding.with_features(features)
            return (current - sae.decode(encoding) + sae.decode(replaced)).to(stream.dtype)

        return edit

    edits: dict[int, Edit] = {}
    for sae in saes:
        before, own = edits.get(sae.layer), edit_of(sae)
        edits[sae.layer] = own if before is None else _after(before, own)
    return replay_completions(trace, edits, rows)


def replace_streams(
    trace: Trace,
    saes: Sequence[Sae],
    reference: Sequence[int] | Integers,
    *,
    rows: Sequence[int] | Integers | None = None,
) -> Floats:
    """Return rewards [row] with the stream at each SAE's layer at its mean over ``reference``."""
    tokens = np.flatnonzero(np.isin(trace.row_of_token(), trace.rows(reference)))

    def edit_of(layer: int) -> Edit:
        stream = trace.streams[layer]
        mean = stream[torch.from_numpy(tokens).to(stream.device)].float().mean(dim=0)
        return lambda _, current: mean.to(current.dtype).expand_as(current)

    edits = {layer: edit_of(layer) for layer in sorted({sae.layer for sae in saes})}
    return replay_completions(trace, edits, rows)


def _after(first: Edit, second: Edit) -> Edit:
    return lambda batch, stream: second(batch, first(batch, stream))
