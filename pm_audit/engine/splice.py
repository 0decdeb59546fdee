"""The splice: change the stream after one block and run only what comes after it.

The intervention on a set S of features at completion positions is
``x' = x - (decode(f) - decode(f with S replaced))``; the error term ``x - decode(f)`` stays.  As
decoding is linear this is a sum of decoder rows, and where nothing is replaced it is exactly zero.

A replay starts at the first changed position of each row: keys and values of earlier tokens are
those of the clean forward.  In the last block only the readout asks, so only its row of the block
is computed beyond keys and values.  No hooks are needed: the replay calls the blocks itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from pm_audit.engine.features import Floats
from pm_audit.engine.grid import Integers
from pm_audit.engine.packing import Batch, Jobs, in_batches
from pm_audit.engine.readout import read_replayed
from pm_audit.engine.trace import Trace, finite_rewards
from pm_audit.models.packed_attention import attend_in
from pm_audit.models.preference_model import PreferenceModel, Readout
from pm_audit.saes.sae import Sae

Edit = Callable[[Batch, Tensor], Tensor]
"""(batch, stream after a block [token hidden]) -> the changed stream [token hidden]."""

_NOISE_BATCHES = 5
"""Batches at least into which completions are packed to find the noise of a replay."""


def replay(
    pm: PreferenceModel,
    trace: Trace,
    jobs: Jobs,
    edits: Mapping[int, Edit],
    *,
    token_budget: int | None = None,
) -> Floats:
    """Return each job's reward [job] with the stream edited after the given blocks.

    Args:
        pm: the preference model that was traced.
        trace: its clean forward.
        jobs: rows and first changed positions, none of them before the completion.
        edits: what to do to the stream, by block; each sees what the edits below it caused.
        token_budget: tokens of one batch, by the device for None; halved when memory runs out.

    Raises:
        NumericalError: a reward is not finite.

    """
    first = min(edits)
    # read back at the end: each look at a GPU's numbers waits for all that it has been given
    found: list[tuple[Integers, Tensor]] = []

    def run(batch: Batch) -> None:
        stream = trace.streams[first][batch.completion]
        changed = edits[first](batch, stream)
        later = {layer: edit for layer, edit in edits.items() if layer > first}
        read = run_suffix(pm, trace, batch, first, changed, later)
        found.append((batch.jobs, read.double()))

    with torch.no_grad():
        in_batches(
            trace.grid.layout, jobs, run, token_budget=token_budget, device=trace.device(first)
        )
    rewards = np.zeros(len(jobs))
    if found:
        order = np.concatenate([numbers for numbers, _ in found])
        rewards[order] = torch.cat([read for _, read in found]).cpu().numpy()
    return finite_rewards(rewards)


def run_suffix(
    pm: PreferenceModel,
    trace: Trace,
    batch: Batch,
    layer: int,
    stream: Tensor,
    edits: Mapping[int, Edit] | None = None,
    *,
    at: Tensor | None = None,
    dropped: int | None = None,
) -> Tensor:
    """Run the blocks after ``layer`` on a batch's stream [token hidden]; return rewards [job].

    With ``at`` [readout], indices of tokens of the batch, rewards [readout] are read there instead
    of at each job's last token.  Differentiable in ``stream`` where gradients are enabled; what
    block ``dropped`` adds to the stream then counts as a constant.
    """
    decoder, edits = pm.decoder, edits or {}
    token_ids, positions = batch.token_ids, batch.positions
    inputs = decoder.inputs(token_ids, positions) if layer + 1 < decoder.depth else None
    read_at = batch.last if at is None else at
    readout = token_ids[read_at], positions[read_at]
    final = decoder.depth - 1
    averaged = pm.readout is Readout.MEAN
    read_early = layer < final and final not in edits and at is None and not averaged
    for block in range(layer + 1, decoder.depth):
        assert inputs is not None
        clean = trace.keys_values[block]
        if block == final and read_early:
            attend = attend_in(batch.groups, clean, joined=batch.joined, last_only=True)
            at_readout = decoder.inputs(*readout)
            after = decoder.run_at(block, stream, inputs, batch.last, at_readout, attend)
            stream = stream[batch.last]
        else:
            attend = attend_in(batch.groups, clean, joined=batch.joined)
            after = decoder.run(block, stream, inputs, attend)
        stream = stream + (after - stream).detach() if block == dropped else after
        if block in edits:
            stream = edits[block](batch, stream)
    if averaged:
        hidden = decoder.finish(stream, token_ids, positions)
    else:
        hidden = decoder.finish(stream if read_early else stream[read_at], *readout)
    return read_replayed(pm, trace.reading, batch, hidden, read_at)


def jobs_of_completions(trace: Trace, rows: Integers) -> Jobs:
    """Return one job a row that starts where the completion does."""
    layout = trace.grid.layout
    stop = layout.length[rows]
    return Jobs(rows, stop - np.diff(layout.completion_offsets)[rows], stop)


def splice_reconstruction(
    pm: PreferenceModel,
    trace: Trace,
    sae: Sae,
    rows: Integers | None = None,
    *,
    token_budget: int | None = None,
) -> Floats:
    """Return rewards [row] with the completions' stream replaced by the SAE's reconstruction.

    The error term goes, the features stay: what the SAE fails to carry shows as a change.
    """
    chosen = trace.rows(rows)

    def reconstruct(_: Batch, stream: Tensor) -> Tensor:
        return sae.decode(sae.encode(stream.to(sae.W_dec.dtype))).to(stream.dtype)

    return _replay_completions(pm, trace, chosen, {sae.layer: reconstruct}, token_budget)


def replay_noise(pm: PreferenceModel, trace: Trace, layer: int) -> float:
    """Return the largest change of a reward when the blocks after ``layer`` run on what they had.

    Nothing is replaced, so what changes is rounding: the tokens are packed into smaller batches
    than in the clean forward, as an ablation's are.  No effect of an ablation can be read below it
    in this dtype and on this device.
    """
    rows = trace.rows(None)
    budget = max(1, len(trace.grid.layout.completion_tokens) // _NOISE_BATCHES)
    again = _replay_completions(pm, trace, rows, {layer: lambda _, stream: stream}, budget)
    return float(np.abs(again - trace.rewards).max())


def _replay_completions(
    pm: PreferenceModel,
    trace: Trace,
    rows: Integers,
    edits: Mapping[int, Edit],
    token_budget: int | None,
) -> Floats:
    """Return rewards [row] with the stream edited from the completions' start."""
    jobs = jobs_of_completions(trace, rows)
    rewards = trace.rewards[rows].copy()
    replayed = np.flatnonzero(jobs.stop > jobs.start)
    if len(replayed):
        taken = jobs.take(replayed)
        rewards[replayed] = replay(pm, trace, taken, edits, token_budget=token_budget)
    return rewards
