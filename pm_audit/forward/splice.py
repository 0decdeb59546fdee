"""The splice: change the stream after one block and run only what comes after it.

The intervention on a set S of features at completion positions is
``x' = x - (decode(f) - decode(f with S replaced))``; the error term ``x - decode(f)`` stays.  As
decoding is linear this is a sum of decoder rows, and if nothing is replaced it is exactly zero.

A replay starts at the first changed position of each row: keys and values of earlier tokens are
those of the clean forward.  The last block is computed for the readout's token alone, but for keys
and values.  No hooks are needed: the replay calls the blocks itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from pm_audit.forward.features import Floats
from pm_audit.forward.grid import Integers
from pm_audit.forward.packing import Batch, Jobs
from pm_audit.forward.readout import read_replayed
from pm_audit.forward.trace import Trace, finite_rewards
from pm_audit.subject.kernels.packed_attention import attend_in
from pm_audit.subject.preference_model import Readout
from pm_audit.subject.sae import Sae

Edit = Callable[[Batch, Tensor], Tensor]
"""(batch, stream after a block [token hidden]) -> the changed stream [token hidden]."""

_NOISE_BATCHES = 5
"""Batches at least into which completions are packed to find the noise of a replay."""


def after(first: Edit, second: Edit) -> Edit:
    """Return the edit that makes one after the other."""
    return lambda batch, stream: second(batch, first(batch, stream))


def replay(trace: Trace, jobs: Jobs, edits: Mapping[int, Edit]) -> Floats:
    """Return each job's reward [job] with the stream edited after the given blocks.

    Args:
        trace: the clean forward.
        jobs: rows and first changed positions, none of them before the completion.
        edits: what to do to the stream, by block; each sees what the edits below it caused.

    Raises:
        NumericalError: a reward is not finite.

    """
    first = min(edits)
    # read back at the end: reading a GPU's numbers waits for all of its queued work
    found: list[tuple[Integers, Tensor]] = []

    def run(batch: Batch) -> None:
        stream = edits[first](batch, trace.streams[first][batch.completion])
        above = {layer: edit for layer, edit in edits.items() if layer > first}
        found.append((batch.jobs, run_suffix(trace, batch, first, stream, above).double()))

    with torch.no_grad():
        trace.in_batches(jobs, run)
    rewards = np.zeros(len(jobs))
    if found:
        order = np.concatenate([numbers for numbers, _ in found])
        rewards[order] = torch.cat([read for _, read in found]).cpu().numpy()
    return finite_rewards(rewards)


def run_suffix(
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
    of at each job's last token.  Differentiable in ``stream`` if gradients are enabled; the
    contribution of block ``dropped`` then counts as a constant.
    """
    pm, decoder, edits = trace.pm, trace.pm.decoder, edits or {}
    token_ids, positions = batch.token_ids, batch.positions
    inputs = trace.inputs.at(batch.tokens)
    read_at = batch.last if at is None else at
    readout = token_ids[read_at], positions[read_at]
    final = decoder.depth - 1
    averaged = pm.readout is Readout.MEAN
    edited_last = final in edits or bool(pm.edits_after(final))
    read_early = layer < final and not edited_last and at is None and not averaged
    for block in range(layer + 1, decoder.depth):
        clean = trace.keys_values[block]
        if block == final and read_early:
            attend = attend_in(batch.groups, clean, joined=batch.joined, last_only=True)
            at_readout = trace.inputs.at(batch.tokens[batch.last])
            after = decoder.run_at(block, stream, inputs, batch.last, at_readout, attend)
            stream = stream[batch.last]
        else:
            attend = attend_in(batch.groups, clean, joined=batch.joined)
            after = decoder.run(block, stream, inputs, attend)
        stream = stream + (after - stream).detach() if block == dropped else after
        for edit in pm.edits_after(block):
            stream = edit(stream, trace.places(batch.completion))
        if block in edits:
            stream = edits[block](batch, stream)
    if averaged:
        hidden = decoder.finish(stream, token_ids, positions)
    else:
        hidden = decoder.finish(stream if read_early else stream[read_at], *readout)
    return read_replayed(pm, trace.reading, batch, hidden, read_at)


def completion_jobs(trace: Trace, rows: Integers) -> Jobs:
    """Return one job a row that has a completion, from the completion's start to the row's end."""
    layout = trace.grid.layout
    own = rows[np.diff(layout.completion_offsets)[rows] > 0]
    stop = layout.length[own]
    return Jobs(own, stop - np.diff(layout.completion_offsets)[own], stop)


def replay_completions(
    trace: Trace, edits: Mapping[int, Edit], rows: Sequence[int] | Integers | None = None
) -> Floats:
    """Return rewards [row] with the stream edited at every token of the rows' completions."""
    chosen = trace.rows(rows)
    rewards = trace.rewards.copy()
    jobs = completion_jobs(trace, chosen)
    if len(jobs):
        rewards[jobs.row] = replay(trace, jobs, edits)
    return rewards[chosen]


def splice_reconstruction(trace: Trace, sae: Sae) -> Floats:
    """Return rewards [row] with the completions' stream replaced by the SAE's reconstruction.

    The error term goes, the features stay: what the SAE fails to carry shows as a change.
    """
    reconstruction = trace.features[sae.name].reconstruction

    def reconstruct(batch: Batch, stream: Tensor) -> Tensor:
        return reconstruction[batch.completion].to(stream.dtype)

    return replay_completions(trace, {sae.layer: reconstruct})


def replay_noise(trace: Trace, layer: int) -> float:
    """Return the largest change of a reward when the blocks after ``layer`` run on what they had.

    Nothing is replaced, so what changes is rounding: the tokens are packed into smaller batches
    than in the clean forward, as an ablation's are.  No effect of an ablation can be read below it
    in this dtype and on this device.
    """
    budget = max(1, len(trace.grid.layout.completion_tokens) // _NOISE_BATCHES)
    smaller = replace(trace, token_budget=budget)
    again = replay_completions(smaller, {layer: lambda _, stream: stream})
    return float(np.abs(again - trace.rewards).max())
