"""From sets of features to replays: which rows change, from which token, and by how much.

For ``ZERO`` a job is a (set, row) in which something of the set fires, from its first firing
token.  At the lowest layer the change is a sum of clean features times decoder rows; at higher
layers the selected latents are encoded again on the changed stream and leave with the clean
per-token scale.  Mean replacement adds the set's mean vector at every completion token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pm_audit.engine.contrast import Mask
from pm_audit.engine.features import Floats, SparseFeatures
from pm_audit.engine.grid import Integers
from pm_audit.engine.packing import Batch, Jobs, moved
from pm_audit.engine.splice import Edit
from pm_audit.engine.trace import Trace
from pm_audit.errors import SaeError
from pm_audit.saes.sae import Sae

_ENTRIES_AT_ONCE = 8192
"""Decoder rows gathered at once: bounds the memory of a batch with many active features."""


@dataclass(frozen=True, eq=False)
class Members:
    """Which latents of one SAE belong to which set, sorted by set."""

    sae: Sae
    set_of: Integers
    """[member]"""
    latent: Integers
    """[member]"""

    def __post_init__(self) -> None:
        outside = self.latent[(self.latent < 0) | (self.latent >= self.sae.width)]
        if len(outside):
            raise SaeError(
                f"feature {int(outside[0])} is outside SAE {self.sae.name!r} "
                f"(0 to {self.sae.width - 1}); check the SAE that the hypothesis names"
            )


@dataclass(frozen=True, eq=False)
class Plan:
    """Jobs to replay and the edits that make each of them its set's ablation."""

    jobs: Jobs
    set_of: Integers
    """[job], number of the set that the job ablates."""
    edits: Mapping[int, Edit]
    """By block."""


def plan(
    trace: Trace,
    members: Sequence[Members],
    sets: int,
    rows: Integers,
    means: Mapping[str, Tensor] | None,
    *,
    skipped: Mask | None = None,
) -> Plan:
    """Plan the ablation of ``sets`` sets in the given rows.

    Args:
        trace: the clean forward.
        members: the sets' features, one entry an SAE.
        sets: number of sets.
        rows: rows of the grid.
        means: by SAE name [latent], for mean replacement; None for zero.
        skipped: [set row], pairs that need no job, for zero replacement.

    """
    layout = trace.grid.layout
    by_sae = [Firings.of(trace, member, rows, skipped=skipped) for member in members]
    key = np.concatenate([firings.set_of * len(trace.grid) + firings.row for firings in by_sae])
    token = np.concatenate([firings.token for firings in by_sae])
    if means is None:
        order = np.lexsort((token, key))
        job_key, first = np.unique(key[order], return_index=True)
        start_token = token[order][first]
    else:
        # Every completion token changes, so every row of every set starts at its completion.
        touched = rows[np.diff(layout.completion_offsets)[rows] > 0]
        job_key = (np.arange(sets)[:, None] * len(trace.grid) + np.sort(touched)).ravel()
        start_token = layout.completion_offsets[job_key % len(trace.grid)]
    set_of, row = np.divmod(job_key, len(trace.grid))
    start = layout.completion_position[start_token] if len(start_token) else start_token
    jobs = Jobs(row, start, layout.length[row])

    lowest = min(member.sae.layer for member in members)
    parts: list[tuple[int, Edit]] = []
    for member, firings in zip(members, by_sae, strict=True):
        layer = member.sae.layer
        if layer == lowest:
            job = np.searchsorted(job_key, firings.set_of * len(trace.grid) + firings.row)
            parts.append((layer, _RemoveKnown.of(trace, member.sae, firings, job, len(jobs))))
        else:
            parts.append((layer, _RemoveEncoded(trace, member, set_of)))
        if means is not None:
            added = _AddMeans.of(trace, member, sets, set_of, means[member.sae.name])
            parts.append((layer, added))
    edits: dict[int, Edit] = {
        layer: _Sum(tuple(edit for block, edit in parts if block == layer))
        for layer in sorted({layer for layer, _ in parts})
    }
    return Plan(jobs, set_of, edits)


def firing_counts(features: SparseFeatures, width: int) -> Integers:
    """Return at how many completion tokens each latent fires [latent]."""
    counts: Integers = np.bincount(features.latent_here, minlength=width)
    return counts


@dataclass(frozen=True, eq=False)
class Firings:
    """Clean firings of sets' latents, one entry a (set, token, latent)."""

    set_of: Integers
    row: Integers
    token: Integers
    """Index into the completion tokens."""
    latent: Integers
    strength: Floats
    """Multiple of the decoder row in the stream."""

    @classmethod
    def of(
        cls, trace: Trace, members: Members, rows: Integers, *, skipped: Mask | None = None
    ) -> Firings:
        """Return the firings in ``rows``, but for the skipped pairs [set row]."""
        features = trace.features[members.sae.name]
        latent, token = features.latent_here, features.token_here
        row = trace.grid.layout.completion_row[token]
        wanted = np.zeros(members.sae.width, dtype=bool)
        wanted[members.latent] = True
        in_rows = np.zeros(len(trace.grid), dtype=bool)
        in_rows[rows] = True
        kept = np.flatnonzero(wanted[latent] & in_rows[row])
        # A latent may belong to several sets: repeat its firings once for each.
        by_latent = np.argsort(members.latent, kind="stable")
        ordered = members.latent[by_latent]
        first = np.searchsorted(ordered, latent[kept], side="left")
        count = np.searchsorted(ordered, latent[kept], side="right") - first
        firing = np.repeat(kept, count)
        nth = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        member = by_latent[np.repeat(first, count) + nth]
        if skipped is not None:
            left = ~skipped[members.set_of[member], row[firing]]
            firing, member = firing[left], member[left]
        strength = features.strength_here
        return cls(
            members.set_of[member], row[firing], token[firing], latent[firing], strength[firing]
        )


@dataclass(frozen=True, eq=False)
class _RemoveKnown:
    """Subtracts clean features times decoder rows."""

    sae: Sae
    offsets: Integers
    """[job + 1], each job's slice of the entries."""
    token: Integers
    latent: Integers
    strength: Floats
    row_offsets: Integers
    """[row + 1], each row's slice of the completion tokens."""

    @classmethod
    def of(cls, trace: Trace, sae: Sae, firings: Firings, job: Integers, jobs: int) -> _RemoveKnown:
        order = np.argsort(job, kind="stable")
        offsets = np.concatenate([[0], np.cumsum(np.bincount(job, minlength=jobs))])
        return cls(
            sae,
            offsets,
            firings.token[order],
            firings.latent[order],
            firings.strength[order],
            trace.grid.layout.completion_offsets,
        )

    def __call__(self, batch: Batch, stream: Tensor) -> Tensor:
        first, after = self.offsets[batch.jobs], self.offsets[batch.jobs + 1]
        count = after - first
        entry = np.arange(count.sum()) + np.repeat(first - (np.cumsum(count) - count), count)
        # A job's tokens are consecutive completion tokens that end with its row.
        ends = np.cumsum(batch.lengths)
        row_end = self.row_offsets[batch.row + 1]
        at = self.token[entry] + np.repeat(ends - row_end, count)
        latents, tokens = moved([self.latent[entry], at], stream.device)
        (strengths,) = moved([self.strength[entry]], stream.device)
        changed = stream.to(self.sae.W_dec.dtype, copy=True)
        for part in range(0, len(entry), _ENTRIES_AT_ONCE):
            own = slice(part, part + _ENTRIES_AT_ONCE)
            rows = self.sae.W_dec.index_select(0, latents[own])
            changed.index_add_(0, tokens[own], rows.mul_(strengths[own, None]), alpha=-1)
        return changed.to(stream.dtype)


@dataclass(frozen=True, eq=False)
class _RemoveEncoded:
    """Encodes the sets' latents on the stream as it now is, and subtracts them."""

    trace: Trace
    members: Members
    set_of: Integers
    """[job]"""

    def __call__(self, batch: Batch, stream: Tensor) -> Tensor:
        sae, sets = self.members.sae, self.set_of[batch.jobs]
        present, number = np.unique(sets, return_inverse=True)
        taken = np.isin(self.members.set_of, present)
        union, latent_at = np.unique(self.members.latent[taken], return_inverse=True)
        belongs = torch.zeros(len(present), len(union), dtype=torch.bool)
        set_at = np.searchsorted(present, self.members.set_of[taken])
        belongs[torch.from_numpy(set_at), torch.from_numpy(latent_at)] = True
        device = stream.device
        indices = torch.from_numpy(union).to(device)
        current = stream.to(sae.W_dec.dtype)
        features = sae.encode_selected(current, indices)
        of_token = torch.from_numpy(number).to(device)[batch.job_of]
        scale = self.trace.features[sae.name].scale[batch.completion]
        features = features * belongs.to(device)[of_token] * scale[:, None]
        return (current - features @ sae.W_dec[indices]).to(stream.dtype)


@dataclass(frozen=True, eq=False)
class _AddMeans:
    """Adds each set's mean features times decoder rows at every token of its jobs."""

    vectors: Tensor
    """[set hidden]"""
    scale: Tensor
    """[completion token]"""
    set_of: Integers
    """[job]"""

    @classmethod
    def of(
        cls, trace: Trace, members: Members, sets: int, set_of: Integers, means: Tensor
    ) -> _AddMeans:
        sae = members.sae
        latent = torch.from_numpy(members.latent).to(means.device)
        vectors = sae.W_dec.new_zeros(sets, sae.hidden_size)
        number = torch.from_numpy(members.set_of).to(means.device)
        vectors.index_add_(0, number, means[latent, None] * sae.W_dec[latent])
        return cls(vectors, trace.features[sae.name].scale, set_of)

    def __call__(self, batch: Batch, stream: Tensor) -> Tensor:
        number = torch.from_numpy(self.set_of[batch.jobs]).to(stream.device)[batch.job_of]
        added = self.scale[batch.completion, None] * self.vectors[number]
        return (stream.to(added.dtype) + added).to(stream.dtype)


@dataclass(frozen=True, eq=False)
class _Sum:
    """Several edits of one stream, each of which reads the stream as it was before all of them."""

    parts: tuple[Edit, ...]

    def __call__(self, batch: Batch, stream: Tensor) -> Tensor:
        if len(self.parts) == 1:
            return self.parts[0](batch, stream)
        change = sum(part(batch, stream).float() - stream.float() for part in self.parts)
        return (stream.float() + change).to(stream.dtype)
