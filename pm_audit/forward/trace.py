"""The clean forward: every token once, and what later replays need of it.

Blocks run one after the other over all tokens of the grid, in batches; shared prefixes come
first, so that the completions of a prompt attend to keys and values that were computed once.
Kept are the rewards, the stream after each SAE's block at completion tokens, the sparse features
there, and the keys and values of every block after the lowest SAE.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from pm_audit.errors import NumericalError, SaeError
from pm_audit.forward.features import Floats, SparseFeatures, active_features
from pm_audit.forward.grid import Grid, Integers
from pm_audit.forward.packing import Batch, Jobs, in_batches
from pm_audit.forward.readout import (
    FlatTokens,
    Reading,
    needs_every_token,
    read_clean,
    up_to_readout,
)
from pm_audit.subject.block_inputs import BlockInputs
from pm_audit.subject.compatibility import require_saes_of
from pm_audit.subject.kernels.packed_attention import AttentionKind, attend_in
from pm_audit.subject.kernels.products import wide_products
from pm_audit.subject.kernels.rows import put_rows
from pm_audit.subject.preference_model import PreferenceModel
from pm_audit.subject.sae import Sae


@dataclass(frozen=True, eq=False)
class Trace:
    """A clean forward: the PM, what it read, and what replays need; nothing in it changes."""

    pm: PreferenceModel
    grid: Grid
    rewards: Floats
    """[row], raw reward."""
    saes: tuple[Sae, ...]
    features: Mapping[str, SparseFeatures]
    """Active features by the SAE's name."""
    streams: Mapping[int, Tensor]
    """Stream [completion token, hidden] after each SAE's block and each requested block."""
    keys_values: Mapping[int, tuple[Tensor, Tensor]]
    """Clean keys and values [flat token, kv_head, dim] of each block after the lowest SAE."""
    inputs: BlockInputs
    """What the blocks receive with the stream, by flat token."""
    reading: Reading
    """What else rewards rest on than the last token."""
    token_budget: int | None = None
    """Tokens of one batch of a replay; by the device for None."""

    def sae(self, name: str) -> Sae:
        """Return the SAE of this name.

        Raises:
            SaeError: the trace was made without it.

        """
        for sae in self.saes:
            if sae.name == name:
                return sae
        known = ", ".join(sae.name for sae in self.saes) or "none"
        raise SaeError(f"SAE {name!r} is not part of this trace (traced: {known})")

    def rows(self, rows: Sequence[int] | Integers | None) -> Integers:
        """Return row indices as an array; all rows for None."""
        if rows is None:
            return np.arange(len(self.grid))
        return np.asarray(rows, dtype=np.int64)

    @property
    def device(self) -> torch.device:
        """Where the streams are kept."""
        return self.pm.device

    def row_of_token(self) -> Integers:
        """[completion token], the row of each completion token."""
        return self.grid.layout.completion_row

    def places(self, token: Tensor) -> Tensor:
        """Return the place of completion tokens [token]; see ``Layout.completion_place``."""
        return self._place.to(token.device)[token]

    @cached_property
    def _place(self) -> Tensor:
        return torch.from_numpy(self.grid.layout.completion_place)

    def in_batches(self, jobs: Jobs, run: Callable[[Batch], None]) -> None:
        """Run every batch of the jobs; see ``packing.in_batches``."""
        in_batches(self.grid.layout, jobs, run, token_budget=self.token_budget, device=self.device)


def trace(
    pm: PreferenceModel,
    saes: Sequence[Sae],
    grid: Grid,
    *,
    also: Sequence[int] = (),
    token_budget: int | None = None,
) -> Trace:
    """Run the clean forward of a grid.

    Args:
        pm: the preference model.
        saes: read the stream after their blocks; none for rewards alone.
        grid: rows to read.
        also: further blocks whose stream at completion tokens is kept.
        token_budget: tokens of one batch, here and in replays; by the device for None, halved
            when memory runs out.

    Raises:
        SaeError: an SAE does not fit this model, or two share a name.
        NumericalError: a reward or an activation is not finite.

    """
    require_saes_of(pm, saes)
    grid = up_to_readout(pm, grid)
    kept = {sae.layer for sae in saes} | set(also)
    lowest = min((sae.layer for sae in saes), default=pm.depth)
    forward = _Forward(pm, grid, kept, lowest, token_budget)
    with torch.no_grad():
        rewards = forward.run()
    with torch.no_grad(), wide_products():
        features = {sae.name: active_features(sae, forward.streams[sae.layer]) for sae in saes}
    return Trace(
        pm=pm,
        grid=grid,
        rewards=finite_rewards(rewards),
        saes=tuple(saes),
        features=features,
        streams=forward.streams,
        keys_values=forward.keys_values,
        inputs=forward.inputs,
        reading=forward.reading,
        token_budget=token_budget,
    )


def rewards(pm: PreferenceModel, grid: Grid) -> Floats:
    """Return the rewards [row] of a grid, each distinct prompt read once."""
    return trace(pm, (), grid).rewards


def finite_rewards(rewards: Floats) -> Floats:
    """Return the rewards if all are finite.

    Raises:
        NumericalError: one is not.

    """
    bad = np.flatnonzero(~np.isfinite(rewards))
    if len(bad):
        raise NumericalError(
            f"{len(bad)} of {len(rewards)} rewards are not finite (the first is number {bad[0]}); "
            "check the PM's weights, or use a wider dtype"
        )
    return rewards


class _Forward:
    """One pass over the blocks; holds the stream of all flat tokens while it runs."""

    def __init__(
        self, pm: PreferenceModel, grid: Grid, kept: set[int], lowest: int, token_budget: int | None
    ) -> None:
        self.decoder = pm.decoder
        self.pm = pm
        self.grid, self.layout = grid, grid.layout
        self.kept = kept
        self.lowest = lowest
        self.token_budget = token_budget
        self.streams: dict[int, Tensor] = {}
        self.keys_values: dict[int, tuple[Tensor, Tensor]] = {}
        self.reading = Reading()

    def run(self) -> Floats:
        layout, device = self.layout, self.pm.device
        first_row = np.unique(layout.prefix_of, return_index=True)[1]
        prefixes = Jobs(first_row, np.zeros_like(first_row), layout.prefix_length)
        rows = Jobs(np.arange(len(layout.length)), layout.shared_length, layout.length)
        token_ids = torch.from_numpy(layout.token_ids).to(device)
        positions = torch.from_numpy(layout.positions).to(device)
        completion = torch.from_numpy(layout.completion_tokens).to(device)
        place = torch.from_numpy(layout.completion_place).to(device)
        readout = torch.from_numpy(layout.readout).to(device)
        final = self.decoder.depth - 1
        whole = final in self.kept or needs_every_token(self.pm)

        self.inputs = self.decoder.inputs(token_ids, positions)
        stream = self.inputs.embedded[0]
        for layer in range(self.decoder.depth):
            last_only = layer == final and not whole
            after = stream.new_zeros(len(rows), stream.shape[1]) if last_only else stream.clone()
            self.keys_values[layer] = _NO_KEYS
            for jobs in (prefixes, rows):
                # Shared prefixes end before the readout, so the last block needs only their keys.
                keys_only = last_only and jobs is prefixes
                self._run_block(
                    layer, jobs, stream, after, last_only=last_only, keys_only=keys_only
                )
            if layer <= self.lowest:
                del self.keys_values[layer]
            stream = after
            for edit in self.pm.edits_after(layer):
                stream[completion] = edit(stream[completion], place)
            if layer in self.kept:
                self.streams[layer] = stream[completion]
        if whole:
            tokens = FlatTokens(stream, token_ids, positions)
            rewards, self.reading = read_clean(self.pm, self.grid, tokens)
        else:
            hidden = self.decoder.finish(stream, token_ids[readout], positions[readout])
            rewards = self.pm.reward(hidden)
        return rewards.double().cpu().numpy()

    def _run_block(
        self,
        layer: int,
        jobs: Jobs,
        stream: Tensor,
        after: Tensor,
        *,
        last_only: bool,
        keys_only: bool,
    ) -> None:
        """Write the stream [token hidden], or [job hidden] with ``last_only``, after a block."""
        decoder = self.decoder

        def run(batch: Batch) -> None:
            tokens = batch.tokens
            inputs = self.inputs.at(tokens)

            def attend(query: Tensor, key: Tensor, value: Tensor, kind: AttentionKind) -> Tensor:
                clean = self._keep(layer, tokens, key, value)
                attend = attend_in(batch.groups, clean, joined=batch.joined, last_only=last_only)
                return attend(query, key, value, kind)

            if keys_only:
                self._keep(layer, tokens, *decoder.keys_values(layer, stream[tokens], inputs))
            elif not last_only:
                put_rows(after, tokens, decoder.run(layer, stream[tokens], inputs, attend))
            else:
                last = batch.last
                at_readout = self.inputs.at(tokens[last])
                read = decoder.run_at(layer, stream[tokens], inputs, last, at_readout, attend)
                after[torch.from_numpy(batch.jobs).to(after.device)] = read

        in_batches(self.layout, jobs, run, token_budget=self.token_budget, device=self.pm.device)

    def _keep(
        self, layer: int, tokens: Tensor, key: Tensor, value: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Write new keys and values where replays and rows of the same prefix find them."""
        if self.keys_values[layer] is _NO_KEYS:
            total = len(self.layout.token_ids)
            self.keys_values[layer] = (
                key.new_zeros(total, *key.shape[1:]),
                value.new_zeros(total, *value.shape[1:]),
            )
        keys, values = self.keys_values[layer]
        put_rows(keys, tokens.to(key.device), key)
        put_rows(values, tokens.to(value.device), value)
        return keys, values


_NO_KEYS = (torch.empty(0), torch.empty(0))
