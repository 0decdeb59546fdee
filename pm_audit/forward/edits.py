"""From sets of features to replays: which rows change, from which token, and by how much.

A job is a (set, row) in which something of the set differs from its target, from the first token
where it does.  At the lowest layer the change is a sum of decoder rows times the distance of clean
features from their targets; at higher layers the selected latents are encoded again on the changed
stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pm_audit.errors import SaeError
from pm_audit.forward.contrast import Mask
from pm_audit.forward.features import Floats, SparseFeatures, summed_rows
from pm_audit.forward.grid import Integers
from pm_audit.forward.packing import Batch, Jobs, moved
from pm_audit.forward.splice import Edit
from pm_audit.forward.targets import SaeTargets, Targets
from pm_audit.forward.trace import Trace
from pm_audit.subject.sae import Sae


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


def plan(trace: Trace, changes: Sequence[Changes], targets: Targets | None = None) -> Plan:
    """Plan the replays of sets.

    Args:
        trace: the clean forward.
        changes: of the sets' features, one entry an SAE.
        targets: what stands in the features' place; None for zero.

    """
    layout, total = trace.grid.layout, len(trace.grid)
    key = np.concatenate([one.set_of * total + one.row for one in changes])
    token = np.concatenate([one.token for one in changes])
    order = np.lexsort((token, key))
    job_key, first = np.unique(key[order], return_index=True)
    start = layout.completion_position[token[order][first]]
    set_of, row = np.divmod(job_key, total)
    jobs = Jobs(row, start, layout.length[row])

    parts: dict[int, list[Edit]] = {one.sae.layer: [] for one in changes}
    for one in changes:
        own = parts[one.sae.layer]
        if one.sae.layer == min(parts):
            job = np.searchsorted(job_key, one.set_of * total + one.row)
            own.append(_ChangeKnown.of(trace, one, job, len(jobs)))
        else:
            own.append(_ChangeEncoded(one.members, targets_of(trace, one.sae, targets), set_of))
    return Plan(jobs, set_of, {layer: Sum(tuple(own)) for layer, own in sorted(parts.items())})


def targets_of(trace: Trace, sae: Sae, targets: Targets | None) -> SaeTargets:
    """Return one SAE's targets; zero for None."""
    if targets is None:
        return SaeTargets.zero(sae, len(trace.grid.layout.completion_tokens))
    return targets[sae.name]


def matches(ordered: Integers, wanted: Integers) -> tuple[Integers, Integers]:
    """Return (place in ``wanted``, place in the sorted ``ordered``) of all equal pairs."""
    first = np.searchsorted(ordered, wanted, side="left")
    count = np.searchsorted(ordered, wanted, side="right") - first
    at = np.repeat(np.arange(len(wanted)), count)
    nth = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    return at, first[at] + nth


def firing_counts(features: SparseFeatures, width: int) -> Integers:
    """Return at how many completion tokens each latent fires [latent]."""
    counts: Integers = np.bincount(features.latent_here, minlength=width)
    return counts


@dataclass(frozen=True, eq=False)
class Changes:
    """Where sets' latents differ from their targets, one entry a (set, token, latent)."""

    members: Members
    set_of: Integers
    row: Integers
    token: Integers
    """Index into the completion tokens."""
    latent: Integers
    amount: Floats
    """Multiple of the decoder row that joins the stream: scale x (target - feature)."""

    @classmethod
    def of(
        cls, trace: Trace, members: Members, rows: Integers, targets: Targets | None = None
    ) -> Changes:
        """Return the changes in ``rows``."""
        own = targets_of(trace, members.sae, targets)
        in_rows = np.zeros(len(trace.grid), dtype=bool)
        in_rows[rows] = True
        token, latent, amount = _differences(trace, members, own, in_rows)
        row = trace.grid.layout.completion_row[token]
        # A latent may belong to several sets: repeat its changes once for each.
        by_latent = np.argsort(members.latent, kind="stable")
        change, place = matches(members.latent[by_latent], latent)
        member = by_latent[place]
        return cls(
            members,
            members.set_of[member],
            row[change],
            token[change],
            latent[change],
            amount[change],
        )

    @property
    def sae(self) -> Sae:
        """The SAE that the latents belong to."""
        return self.members.sae

    def within(self, pairs: Mask) -> Changes:
        """Return the changes in some pairs [set row]."""
        kept = pairs[self.set_of, self.row]
        return Changes(
            self.members,
            self.set_of[kept],
            self.row[kept],
            self.token[kept],
            self.latent[kept],
            self.amount[kept],
        )


def edit_sizes(trace: Trace, sae: Sae, rows: Integers, targets: Targets | None = None) -> Floats:
    """Return each latent's mean |amount| x decoder norm over completion tokens of ``rows``."""
    everything = np.arange(sae.width)
    total = np.zeros(sae.width)
    for row in rows:
        alone = np.zeros(len(trace.grid), dtype=bool)
        alone[row] = True
        members = Members(sae, everything, everything)
        _, latent, amount = _differences(trace, members, targets_of(trace, sae, targets), alone)
        np.add.at(total, latent, np.abs(amount))
    tokens = int(np.diff(trace.grid.layout.completion_offsets)[rows].sum())
    norms = sae.W_dec.double().norm(dim=-1).cpu().numpy()
    return np.asarray(total * norms / max(1, tokens))


def _differences(
    trace: Trace, members: Members, targets: SaeTargets, in_rows: Mask
) -> tuple[Integers, Integers, Floats]:
    """Return (token, latent, amount) where a member's feature differs from its target."""
    features, sae = trace.features[members.sae.name], members.sae
    wanted = np.zeros(sae.width, dtype=bool)
    wanted[members.latent] = True
    token_in = in_rows[trace.grid.layout.completion_row]
    active = np.flatnonzero(wanted[features.latent_here] & token_in[features.token_here])
    token, latent = features.token_here[active], features.latent_here[active]
    amount = features.scale_here[token] * targets.of(token, latent) - features.strength_here[active]
    held = targets.latent[wanted[targets.latent]]
    if len(held):
        # the tokens on which a feature is inactive and its target is not
        tokens = np.flatnonzero(token_in)
        column = targets.column(held)
        table = targets.value_here[:, column][targets.group[tokens]]
        at = np.searchsorted(held, latent)
        known = held[np.minimum(at, len(held) - 1)] == latent
        table[np.searchsorted(tokens, token[known]), at[known]] = 0
        where, which = np.nonzero(table)
        added = features.scale_here[tokens[where]] * table[where, which]
        token = np.concatenate([token, tokens[where]])
        latent = np.concatenate([latent, held[which]])
        amount = np.concatenate([amount, added])
    changed = np.flatnonzero(amount)
    return token[changed], latent[changed], amount[changed]


@dataclass(frozen=True, eq=False)
class _ChangeKnown:
    """Adds known amounts of decoder rows."""

    sae: Sae
    offsets: Integers
    """[job + 1], each job's slice of the entries."""
    token: Integers
    latent: Integers
    amount: Floats
    row_offsets: Integers
    """[row + 1], each row's slice of the completion tokens."""

    @classmethod
    def of(cls, trace: Trace, changes: Changes, job: Integers, jobs: int) -> _ChangeKnown:
        order = np.lexsort((changes.token, job))
        offsets = np.concatenate([[0], np.cumsum(np.bincount(job, minlength=jobs))])
        return cls(
            changes.sae,
            offsets,
            changes.token[order],
            changes.latent[order],
            changes.amount[order],
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
        (amounts,) = moved([self.amount[entry]], stream.device)
        change = summed_rows(self.sae.W_dec, latents, amounts, tokens, len(stream))
        return (stream.to(change.dtype) + change).to(stream.dtype)


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
class _ChangeEncoded:
    """Encodes the sets' latents on the current stream, and puts their targets in their place."""

    members: Members
    targets: SaeTargets
    set_of: Integers
    """[job]"""

    def __call__(self, batch: Batch, stream: Tensor) -> Tensor:
        sae = self.members.sae
        latent, own = _members_in(self.members, self.set_of, batch, stream.device)
        current = stream.to(sae.W_dec.dtype)
        encoding = sae.encode_selected(current, latent)
        change = (self.targets.at(batch.completion, latent) - encoding.features) * own
        return (current + encoding.scale[:, None] * (change @ sae.W_dec[latent])).to(stream.dtype)


@dataclass(frozen=True, eq=False)
class Sum:
    """Several edits of one stream, each of which reads the stream as it was before all of them."""

    parts: tuple[Edit, ...]

    def __call__(self, batch: Batch, stream: Tensor) -> Tensor:
        """Return the stream with all changes added."""
        if len(self.parts) == 1:
            return self.parts[0](batch, stream)
        change = sum(part(batch, stream).float() - stream.float() for part in self.parts)
        return (stream.float() + change).to(stream.dtype)
