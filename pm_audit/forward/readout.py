"""Where rewards are read, and which part of the reading no replay changes.

Most PMs read the last token.  A gate also reads a token of the prompt, which no intervention on the
completion changes.  A mean reads every token: a replay changes those after its start and takes the
others from the clean forward.  The head of a mean is linear, so the reward is the mean of the
head's outputs at each token.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pm_audit.errors import ModelError
from pm_audit.forward.grid import Grid, Integers
from pm_audit.forward.packing import Batch
from pm_audit.subject.gate import Gate
from pm_audit.subject.preference_model import PreferenceModel, Readout


@dataclass(frozen=True, eq=False)
class Reading:
    """What else the clean forward read than each row's last token."""

    weights: Tensor | None = None
    """[row objective], the gate's weights; None without a gate."""
    before: Tensor | None = None
    """[completion token], sum of the head's outputs at all earlier tokens of the row, for a mean;
    None if only the last token is read."""


@dataclass(frozen=True, eq=False)
class FlatTokens:
    """Tokens of the flat layout with the stream after the last block."""

    stream: Tensor
    """[token hidden]"""
    token_ids: Tensor
    """[token]"""
    positions: Tensor
    """[token]"""

    def states(self, pm: PreferenceModel, at: Integers | None = None) -> Tensor:
        """Return normalised states [selected hidden] of tokens ``at``; of all for None."""
        if at is None:
            return pm.decoder.finish(self.stream, self.token_ids, self.positions)
        index = torch.from_numpy(at).to(self.stream.device)
        return pm.decoder.finish(self.stream[index], self.token_ids[index], self.positions[index])


def up_to_readout(pm: PreferenceModel, grid: Grid) -> Grid:
    """Return the grid without the tokens after the one that a head reads: they have no effect."""
    if pm.padding_id is None:
        return grid
    lengths = [pm.read_length(row.token_ids) for row in grid.rows]
    return Grid(tuple(row.cut(length) for row, length in zip(grid.rows, lengths, strict=True)))


def needs_every_token(pm: PreferenceModel) -> bool:
    """Whether the last block's output is read anywhere but at each row's last token."""
    edited = bool(pm.edits_after(pm.depth - 1))
    return edited or pm.gate is not None or pm.readout is not Readout.LAST


def read_clean(pm: PreferenceModel, grid: Grid, tokens: FlatTokens) -> tuple[Tensor, Reading]:
    """Return rewards [row] of the clean forward, and what replays need of this reading.

    Raises:
        ModelError: the gate would read a token that interventions change.

    """
    if pm.readout is Readout.MEAN:
        return _mean(pm, grid, tokens)
    weights = None
    if pm.gate is not None:
        weights = pm.gate(tokens.states(pm, _gate_tokens(pm.gate, grid)))
    rewards = pm.reward(tokens.states(pm, grid.layout.readout), weights)
    return rewards, Reading(weights=weights)


def read_replayed(
    pm: PreferenceModel, reading: Reading, batch: Batch, hidden: Tensor, at: Tensor
) -> Tensor:
    """Return rewards [readout] of a batch at its tokens ``at`` [readout].

    ``hidden`` are their normalised states [readout hidden]; those of every token for a mean.
    """
    if reading.before is not None:
        outputs = pm.reward(hidden)
        summed = outputs.new_zeros(len(batch.jobs)).index_add_(0, batch.job_of, outputs)
        first = torch.searchsorted(batch.job_of, torch.arange(len(batch.jobs), device=at.device))
        earlier = reading.before[batch.completion[first]].to(summed)
        # the last token of a job is the last of its row, and positions count from 0
        return (earlier + summed) / (batch.positions[batch.last] + 1)
    if reading.weights is None:
        return pm.reward(hidden)
    row = torch.from_numpy(batch.row).to(at.device)[batch.job_of[at]]
    return pm.reward(hidden, reading.weights[row.to(reading.weights.device)])


def _mean(pm: PreferenceModel, grid: Grid, tokens: FlatTokens) -> tuple[Tensor, Reading]:
    layout = grid.layout
    outputs = pm.reward(tokens.states(pm)).double().cpu().numpy()
    sums = np.concatenate([[0.0], np.cumsum(outputs)])
    # earlier tokens of a row lie in its shared prefix, or among its own
    shared = sums[layout.shared_start + layout.shared_length] - sums[layout.shared_start]
    own_stop = layout.own_start + layout.length - layout.shared_length
    rewards = (shared + sums[own_stop] - sums[layout.own_start]) / layout.length
    row = layout.completion_row
    before = shared[row] + sums[layout.completion_tokens] - sums[layout.own_start][row]
    device = tokens.stream.device
    return torch.from_numpy(rewards).to(device), Reading(before=torch.from_numpy(before).to(device))


def _gate_tokens(gate: Gate, grid: Grid) -> Integers:
    """Return the flat index of the token that the gate reads of each row [row]."""
    position = np.array([gate.position(row.token_ids) for row in grid.rows], dtype=np.int64)
    start = np.array([row.completion_start for row in grid.rows], dtype=np.int64)
    late = np.flatnonzero(position >= start)
    if len(late):
        raise ModelError(
            f"the gate reads row {int(late[0])} at token {int(position[late[0]])}, inside its "
            "completion; a completion may not hold the header of another answer"
        )
    return grid.layout.locate(np.arange(len(grid)), position)
