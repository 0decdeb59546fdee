"""Replacing more than a set: every feature, or the whole stream, by counter-example means.

Two steps of the account of where a gap lives.  With every feature at its mean over
counter-example completions, what still sets the examples apart is the SAE's error term and what
the completion's stream does not carry; with the whole stream at its mean, only the latter.
Several SAEs are replaced together, or one by itself for the account as its layer sees it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from pm_audit.forward.features import Floats
from pm_audit.forward.grid import Integers
from pm_audit.forward.packing import Batch
from pm_audit.forward.splice import Edit, jobs_of_completions, replay
from pm_audit.forward.trace import Trace
from pm_audit.interventions.ablation import Means
from pm_audit.subject.preference_model import PreferenceModel
from pm_audit.subject.sae import Sae


def replace_features(
    pm: PreferenceModel,
    trace: Trace,
    saes: Sequence[Sae],
    means: Means,
    *,
    rows: Sequence[int] | Integers | None = None,
    token_budget: int | None = None,
) -> Floats:
    """Return rewards [row] with every feature of the SAEs at its mean; error terms stay.

    Each SAE encodes the stream as the ones before it have left it, at its block or below.

    Args:
        pm: the preference model.
        trace: its clean forward, with the SAEs.
        saes: whose features are replaced at every completion token.
        means: by SAE name [latent]; see ``ablation.mean_features``.
        rows: rows of the grid; all for None.
        token_budget: tokens of one batch; by the device for None.

    """

    def replaced(sae: Sae) -> Edit:
        mean = means[sae.name].to(sae.W_dec.dtype)

        def edit(_: Batch, stream: Tensor) -> Tensor:
            current = stream.to(sae.W_dec.dtype)
            encoding = sae.encode(current)
            at_mean = encoding.with_features(mean.expand_as(encoding.features))
            return (current - sae.decode(encoding) + sae.decode(at_mean)).to(stream.dtype)

        return edit

    edits: dict[int, Edit] = {}
    for sae in saes:
        before, own = edits.get(sae.layer), replaced(sae)
        edits[sae.layer] = own if before is None else _after(before, own)
    return _replay_all(pm, trace, edits, rows, token_budget)


def replace_streams(
    pm: PreferenceModel,
    trace: Trace,
    saes: Sequence[Sae],
    reference: Sequence[int] | Integers,
    *,
    rows: Sequence[int] | Integers | None = None,
    token_budget: int | None = None,
) -> Floats:
    """Return rewards [row] with the stream at each SAE's layer at its mean over ``reference``."""
    tokens = np.flatnonzero(np.isin(trace.row_of_token(), trace.rows(reference)))

    def replaced(layer: int) -> Edit:
        stream = trace.streams[layer]
        mean = stream[torch.from_numpy(tokens).to(stream.device)].float().mean(dim=0)
        return lambda _, current: mean.to(current.dtype).expand_as(current)

    edits = {layer: replaced(layer) for layer in sorted({sae.layer for sae in saes})}
    return _replay_all(pm, trace, edits, rows, token_budget)


def _after(first: Edit, second: Edit) -> Edit:
    return lambda batch, stream: second(batch, first(batch, stream))


def _replay_all(
    pm: PreferenceModel,
    trace: Trace,
    edits: Mapping[int, Edit],
    rows: Sequence[int] | Integers | None,
    token_budget: int | None,
) -> Floats:
    chosen = trace.rows(rows)
    jobs = jobs_of_completions(trace, chosen)
    rewards = trace.rewards[chosen].copy()
    replayed = np.flatnonzero(jobs.stop > jobs.start)
    if len(replayed):
        taken = jobs.take(replayed)
        rewards[replayed] = replay(pm, trace, taken, edits, token_budget=token_budget)
    return rewards
