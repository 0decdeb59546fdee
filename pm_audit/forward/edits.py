"""From sets of features to replays: which rows change, from which token, and by how much.

Ablation to zero makes a job of each (set, row) in which something of the set fires, from its first
firing token.  At the lowest layer the change is a sum of clean features times decoder rows; at
higher layers the selected latents are encoded again on the changed stream and leave with the clean
per-token scale.  Every other replacement adds its targets at every completion token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pm_audit.errors import SaeError
from pm_audit.forward.contrast import Mask
from pm_audit.forward.features import Floats, SparseFeatures
from pm_audit.forward.grid import Integers
from pm_audit.forward.packing import Batch, Jobs, moved
from pm_audit.forward.splice import Edit
from pm_audit.forward.targets import ConstantTargets, FeatureTargets, Targets
from pm_audit.forward.trace import Trace
from pm_audit.subject.sae import Sae

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
    edits: dict[int, Edit]
    """By block."""


def plan(
    trace: Trace,
    members: Sequence[Members],
    sets: int,
    rows: Integers,
    targets: Targets | None = None,
    *,
    skipped: Mask | None = None,
) -> Plan:
    """Plan the ablation of ``sets`` sets in the given rows.

    Args:
        trace: the clean forward.
        members: the sets' features, one entry an SAE.
        sets: number of sets.
        rows: rows of the grid.
        targets: what stands in the features' place; None for zero.
        skipped: [set row], pairs that need no job, for ablation to zero.

    """
    layout = trace.grid.layout
    by_sae = [Firings.of(trace, member, rows, skipped=skipped) for member in members]
    key = np.concatenate([firings.set_of * len(trace.grid) + firings.row for firings in by_sae])
    token = np.concatenate([firings.token for firings in by_sae])
    if targets is None:
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
    parts: dict[int, list[Edit]] = {member.sae.layer: [] for member in members}
    for member, firings in zip(members, by_sae, strict=True):
        own = parts[member.sae.layer]
        if member.sae.layer == lowest:
            job = np.searchsorted(job_key, firings.set_of * len(trace.grid) + firings.row)
            own.append(_RemoveKnown.of(trace, member.sae, firings, job, len(jobs)))
        else:
            own.append(_RemoveEncoded(trace, member, set_of))
        if targets is not None:
            own.append(_added(trace, member, sets, set_of, targets[member.sae.name]))
    return Plan(jobs, set_of, {layer: _Sum(tuple(own)) for layer, own in sorted(parts.items())})


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


def _members_in(
    members: Members, set_of: Integers, batch: Batch, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return the latents [selected] of a batch's sets, and which are each token's [token selected].

    ``set_of`` is [job].
    """
    present, number = np.unique(set_of[batch.jobs], return_inverse=True)
    taken = np.isin(members.set_of, present)
    union, latent_at = np.unique(members.latent[taken], return_inverse=True)
    belongs = torch.zeros(len(present), len(union), dtype=torch.bool)
    set_at = np.searchsorted(present, members.set_of[taken])
    belongs[torch.from_numpy(set_at), torch.from_numpy(latent_at)] = True
    of_token = torch.from_numpy(number).to(device)[batch.job_of]
    return torch.from_numpy(union).to(device), belongs.to(device)[of_token]


@dataclass(frozen=True, eq=False)
class _RemoveEncoded:
    """Encodes the sets' latents on the current stream, and subtracts them."""

    trace: Trace
    members: Members
    set_of: Integers
    """[job]"""

    def __call__(self, batch: Batch, stream: Tensor) -> Tensor:
        sae = self.members.sae
        latent, own = _members_in(self.members, self.set_of, batch, stream.device)
        current = stream.to(sae.W_dec.dtype)
        scale = self.trace.features[sae.name].scale[batch.completion]
        features = sae.encode_selected(current, latent) * own * scale[:, None]
        return (current - features @ sae.W_dec[latent]).to(stream.dtype)


def _added(
    trace: Trace, members: Members, sets: int, set_of: Integers, targets: FeatureTargets
) -> Edit:
    """Return the edit that puts targets in the features' place; ``set_of`` is [job]."""
    if isinstance(targets, ConstantTargets):
        return _AddConstant.of(trace, members, sets, set_of, targets.value)
    return _AddTargets(trace, members, set_of, targets)


@dataclass(frozen=True, eq=False)
class _AddTargets:
    """Adds each token's targets times decoder rows."""

    trace: Trace
    members: Members
    set_of: Integers
    """[job]"""
    targets: FeatureTargets

    def __call__(self, batch: Batch, stream: Tensor) -> Tensor:
        sae = self.members.sae
        latent, own = _members_in(self.members, self.set_of, batch, stream.device)
        scale = self.trace.features[sae.name].scale[batch.completion]
        features = self.targets.at(batch.completion, latent) * own * scale[:, None]
        added = features.to(sae.W_dec.dtype) @ sae.W_dec[latent]
        return (stream.to(added.dtype) + added).to(stream.dtype)


@dataclass(frozen=True, eq=False)
class _AddConstant:
    """Adds the same targets times decoder rows at every token of a set's jobs."""

    vectors: Tensor
    """[set hidden]"""
    scale: Tensor
    """[completion token]"""
    set_of: Integers
    """[job]"""

    @classmethod
    def of(
        cls, trace: Trace, members: Members, sets: int, set_of: Integers, value: Tensor
    ) -> _AddConstant:
        sae = members.sae
        latent = torch.from_numpy(members.latent).to(value.device)
        vectors = sae.W_dec.new_zeros(sets, sae.hidden_size)
        number = torch.from_numpy(members.set_of).to(value.device)
        vectors.index_add_(0, number, value[latent, None] * sae.W_dec[latent])
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
