"""Real ablation: features are replaced in the stream and the reward is read again.

For a set S at completion positions ``x' = x - (decode(f) - decode(f with S replaced))``; the error
term stays.  A contribution is reward minus reward after ablation, so positive means that the
feature raises the reward.  ``replacements`` holds what may replace the features.  A row in which
everything of S equals its replacement stays exactly as it is and is not run.

A set may span SAEs at several layers.  At the lowest its clean features are known; higher up the
selected latents are encoded again on the stream as the lower ablation left it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pm_audit.forward.contrast import Mask
from pm_audit.forward.edits import Changes, Members, firing_counts, plan, targets_of
from pm_audit.forward.features import Floats
from pm_audit.forward.grid import Integers
from pm_audit.forward.splice import replay
from pm_audit.forward.targets import Targets
from pm_audit.forward.trace import Trace
from pm_audit.interventions.replay_cache import ReplayCache, changed_by_pair
from pm_audit.records import Feature
from pm_audit.subject.sae import Sae

_ENTRIES_A_PLAN = 2_000_000
"""Changes planned at once; about 100 MB of index arrays."""


@dataclass(frozen=True, eq=False)
class Effects:
    """Single ablations, as triples; (latent, row) pairs not listed have contribution zero."""

    latent: Integers
    """[effect]"""
    row: Integers
    """[effect], row of the grid."""
    contribution: Floats
    """[effect], reward minus reward after ablation."""

    def dense(self, latents: Sequence[int] | Integers, rows: Sequence[int] | Integers) -> Floats:
        """Return contributions [latent row] for the given latents and rows."""
        latents, rows = np.asarray(latents, dtype=np.int64), np.asarray(rows, dtype=np.int64)
        table = np.zeros((len(latents), len(rows)))
        latent_at, row_at = _positions(latents, self.latent), _positions(rows, self.row)
        listed = (latent_at >= 0) & (row_at >= 0)
        table[latent_at[listed], row_at[listed]] = self.contribution[listed]
        return table

    def weighted(self, latents: Sequence[int] | Integers, weights: Floats) -> Floats:
        """Return each latent's contribution summed over rows with ``weights`` [row], [latent]."""
        latents = np.asarray(latents, dtype=np.int64)
        at = _positions(latents, self.latent)
        listed = at >= 0
        sums = np.zeros(len(latents))
        np.add.at(sums, at[listed], weights[self.row[listed]] * self.contribution[listed])
        return sums


def ablate_each(
    trace: Trace,
    sae: Sae,
    latents: Sequence[int] | Integers,
    *,
    rows: Sequence[int] | Integers | None = None,
    where: Mask | None = None,
    targets: Targets | None = None,
    cache: ReplayCache | None = None,
) -> Effects:
    """Ablate each latent alone, in every row in which it differs from its target.

    Args:
        trace: the clean forward, with ``sae``.
        sae: whose latents are ablated.
        latents: indices, each at most once.
        rows: rows of the grid; all for None.
        where: [latent row], pairs of these to run; all for None.
        targets: what stands in a feature's place; None for zero.
        cache: earlier replays of this trace to the same targets, which are not run again; stores
            the new ones.

    Raises:
        SaeError: the SAE is not part of the trace, or a latent is outside it.

    """
    chosen = trace.rows(rows)
    features = np.asarray(latents, dtype=np.int64)
    members = Members(trace.sae(sae.name), np.arange(len(features)), features)
    found = []
    for numbers in _portions(trace, [members], len(features), chosen, targets):
        pairs = None if where is None else where[numbers]
        taken = [_take(members, numbers)]
        set_of, row, after = _replayed(trace, taken, chosen, targets, cache, pairs)
        found.append((features[numbers][set_of], row, trace.rewards[row] - after))
    if not found:
        return Effects(features[:0], chosen[:0], np.zeros(0))
    return Effects(*map(np.concatenate, zip(*found, strict=True)))


def ablate_sets(
    trace: Trace,
    sets: Sequence[Sequence[Feature]],
    *,
    rows: Sequence[int] | Integers | None = None,
    targets: Targets | None = None,
    cache: ReplayCache | None = None,
) -> Floats:
    """Return rewards [set row] with all features of each set ablated together.

    Args:
        trace: the clean forward, with every SAE that the sets name.
        sets: features to ablate together; an empty set leaves the rewards as they are.
        rows: rows of the grid; all for None.
        targets: what stands in a feature's place; None for zero.
        cache: earlier replays of this trace to the same targets, which are not run again; stores
            the new ones.

    Raises:
        SaeError: an SAE is not part of the trace, or a feature is outside its SAE.

    """
    chosen = trace.rows(rows)
    result = np.tile(trace.rewards[chosen], (len(sets), 1))
    column = np.zeros(len(trace.grid), dtype=np.int64)
    column[chosen] = np.arange(len(chosen))
    for names, numbers in _by_saes(sets).items():
        own = [sets[number] for number in numbers]
        members = [_members(trace.sae(name), own) for name in names]
        for portion in _portions(trace, members, len(numbers), chosen, targets):
            taken = [_take(member, portion) for member in members]
            set_of, row, after = _replayed(trace, taken, chosen, targets, cache)
            result[np.asarray(numbers)[portion][set_of], column[row]] = after
    return result


def _replayed(
    trace: Trace,
    members: Sequence[Members],
    rows: Integers,
    targets: Targets | None,
    cache: ReplayCache | None,
    pairs: Mask | None = None,
) -> tuple[Integers, Integers, Floats]:
    """Return (set, row, reward) of every pair that the ablation changes, among ``pairs`` [set row].

    What the cache knows is not run.
    """
    changes = [Changes.of(trace, one, rows, targets) for one in members]
    if pairs is not None:
        changes = [one.within(pairs) for one in changes]
    if cache is None:
        planned = plan(trace, changes, targets)
        return planned.set_of, planned.jobs.row, replay(trace, planned.jobs, planned.edits)
    changed = changed_by_pair(trace, changes)
    set_of, row = np.array(list(changed), dtype=np.int64).reshape(-1, 2).T
    unknown = cache.unknown(changed)
    if unknown:
        missing = np.zeros((int(set_of.max()) + 1, len(trace.grid)), dtype=bool)
        missing[tuple(zip(*unknown, strict=True))] = True
        planned = plan(trace, [one.within(missing) for one in changes], targets)
        after = replay(trace, planned.jobs, planned.edits)
        cache.learn(changed, planned.set_of, planned.jobs.row, after)
    return set_of, row, cache.recall(changed)


def _by_saes(sets: Sequence[Sequence[Feature]]) -> dict[tuple[str, ...], list[int]]:
    """Group the numbers of non-empty sets by the SAEs that they name."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for number, features in enumerate(sets):
        names = tuple(sorted({feature.sae for feature in features}))
        if names:
            groups.setdefault(names, []).append(number)
    return groups


def _members(sae: Sae, sets: Sequence[Sequence[Feature]]) -> Members:
    pairs = [
        (number, index)
        for number, features in enumerate(sets)
        for index in sorted({feature.index for feature in features if feature.sae == sae.name})
    ]
    table = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return Members(sae, table[:, 0], table[:, 1])


def _take(members: Members, numbers: Integers) -> Members:
    """Keep the consecutive sets ``numbers``, numbered from 0."""
    kept = (members.set_of >= numbers[0]) & (members.set_of <= numbers[-1])
    return Members(members.sae, members.set_of[kept] - numbers[0], members.latent[kept])


def _portions(
    trace: Trace, members: Sequence[Members], sets: int, rows: Integers, targets: Targets | None
) -> Iterator[Integers]:
    """Yield consecutive sets whose changes, listed one by one, take little memory."""
    entries = np.zeros(sets, dtype=np.int64)
    tokens = int(np.diff(trace.grid.layout.completion_offsets)[rows].sum())
    for member in members:
        counts = firing_counts(trace.features[member.sae.name], member.sae.width)
        counts[targets_of(trace, member.sae, targets).latent] = tokens
        np.add.at(entries, member.set_of, counts[member.latent])
    portion = (np.cumsum(entries) - entries) // _ENTRIES_A_PLAN
    bounds = np.flatnonzero(np.diff(portion)) + 1
    yield from (part for part in np.split(np.arange(sets), bounds) if len(part))


def _positions(known: Integers, wanted: Integers) -> Integers:
    """Return where each of ``wanted`` stands in ``known``, or -1."""
    if not len(known):
        return np.full(len(wanted), -1)
    order = np.argsort(known, kind="stable")
    at = np.minimum(np.searchsorted(known[order], wanted), len(known) - 1)
    return np.where(known[order][at] == wanted, order[at], -1)
