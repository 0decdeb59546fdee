"""Which pairs of a set are taken: a filter on columns, and a seeded sample in strata.

A pair is drawn by a hash of the seed and its own content, so the sample is the same in whatever
order the file holds its rows, and another pair in the file changes at most its own stratum.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pm_audit.data.pair import Pair, Scalar

Where = Mapping[str, Scalar | Sequence[Scalar]]
"""By column, the value that a row must have, or those of which it must have one."""


@dataclass(frozen=True, slots=True)
class Sample:
    """How many pairs are taken, and which."""

    size: int
    """Pairs; all of them if there are no more."""
    seed: int = 0
    by: str | None = None
    """Column whose values keep their shares in the sample; none draws from all alike."""


def holds(values: Mapping[str, Any], where: Where) -> bool:
    """Whether a row has the value that each column must have."""
    return all(_among(values.get(name), wanted) for name, wanted in where.items())


def draw(pairs: Sequence[Pair], keys: Mapping[str, str], sample: Sample) -> tuple[Pair, ...]:
    """Return a sample of the pairs, in their order.

    Args:
        pairs: what is drawn from.
        keys: the hash of each pair's content, by its id.
        sample: how many are taken, and which.

    """
    strata: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        strata["" if sample.by is None else repr(pair.columns.get(sample.by))].append(pair)
    sizes = allocate({name: len(members) for name, members in strata.items()}, sample.size)
    taken = set()
    for name, members in strata.items():
        ranked = sorted(members, key=lambda pair: rank(sample.seed, keys[pair.id]))
        taken |= {pair.id for pair in ranked[: sizes[name]]}
    return tuple(pair for pair in pairs if pair.id in taken)


def allocate(sizes: Mapping[str, int], total: int) -> dict[str, int]:
    """Return how many are taken from each stratum: its share, by largest remainders.

    No stratum is left out as long as ``total`` has one for each.
    """
    every = sum(sizes.values())
    total = min(total, every)
    exact = {name: size * total / every for name, size in sizes.items()}
    taken = {name: int(share) for name, share in exact.items()}
    for name in sorted(exact, key=lambda name: (taken[name] - exact[name], name)):
        taken[name] += sum(taken.values()) < total
    for name in sorted(name for name, count in taken.items() if count == 0):
        largest = max(sorted(taken), key=lambda other: taken[other])
        if taken[largest] > 1:
            taken[largest] -= 1
            taken[name] += 1
    return taken


def rank(seed: int, key: str) -> bytes:
    """Return what orders members of a sample: a hash that only the seed and their own key fix."""
    return hashlib.sha256(f"{seed}\0{key}".encode()).digest()


def _among(found: object, wanted: Scalar | Sequence[Scalar]) -> bool:
    choices = wanted if isinstance(wanted, list | tuple) else (wanted,)
    return any(_equal(found, one) for one in choices)


def _equal(found: object, wanted: object) -> bool:
    """Whether two values are equal; CSV has texts only, so a text equals what it spells."""
    if isinstance(found, str) and not isinstance(wanted, str):
        return found.casefold() == ("" if wanted is None else str(wanted).casefold())
    if isinstance(found, bool) != isinstance(wanted, bool):
        return False
    return bool(found == wanted)
