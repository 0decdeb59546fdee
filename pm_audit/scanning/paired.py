"""Two PMs of one body as one subject: tasks run on both, and results are differences.

A result is that of the new PM minus that of the old one, each in its own sigma, so that rewards on
another scale are no change.  Texts, places and sides are the same for both; features are those of
one SAE, active as each PM's own stream has them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pm_audit.scanning.ablated import AblateTask
from pm_audit.scanning.attributed import Attributed, AttributeTask
from pm_audit.scanning.compared import CHOSEN, REJECTED
from pm_audit.scanning.engines import Fleet
from pm_audit.scanning.groups import GroupTask
from pm_audit.scanning.store import Shop
from pm_audit.scanning.task import Task, as_arrays, as_bytes

Floats = npt.NDArray[np.float64]
Found = Mapping[str, npt.NDArray[Any]]


class OfBoth(NamedTuple):
    """Contributions of one feature on the same comparisons in both PMs, each in its own sigma."""

    old: Floats
    new: Floats
    prompts: tuple[object, ...]
    """The prompt of each."""


@dataclass(frozen=True, eq=False)
class PairedShop:
    """Runs tasks on an old and a new PM; results are differences, new minus old."""

    old: Shop
    new: Shop
    sigma: tuple[float, float]
    """Of the old PM and of the new one, raw."""
    ablated: list[tuple[AblateTask, Floats, Floats]] = field(default_factory=list)
    """Contributions that were measured, of the old PM and of the new one."""

    @property
    def fleet(self) -> Fleet:
        """The new PM's subject and workers: what a feature is called and fires on is read there."""
        return self.new.fleet

    def run(self, tasks: Sequence[Task]) -> list[bytes]:
        """Return the differences of the tasks' results, in their order.

        Descriptions are the new PM's.

        Raises:
            AuditError: a task fails, or a folder cannot be written to.

        """
        differences = [_DIFFERENCES.get(type(task)) for task in tasks]
        after = self.new.run(tasks)
        if not any(differences):
            return after
        before = self.old.run(tasks)
        results = []
        for task, one, other, difference in zip(tasks, before, after, differences, strict=True):
            if difference is None:
                results.append(other)
                continue
            old, new = as_arrays(one), as_arrays(other)
            if isinstance(task, AblateTask):
                contrasts = [
                    found["contrast"] / unit
                    for found, unit in zip((old, new), self.sigma, strict=True)
                ]
                self.ablated.append((task, contrasts[0], contrasts[1]))
            results.append(as_bytes(difference(old, new, *self.sigma)))
        return results

    def of_both(self) -> dict[int, OfBoth]:
        """Return the contributions of each feature that was ablated, by its index."""
        found: dict[int, list[tuple[float, float, object]]] = {}
        for task, *values in self.ablated:
            for (compared, latent, _), old, new in zip(task.wanted, *values, strict=True):
                own = (float(old), float(new), task.compared[compared].turns)
                found.setdefault(latent, []).append(own)
        return {
            latent: OfBoth(
                np.array([one[0] for one in every]),
                np.array([one[1] for one in every]),
                tuple(one[2] for one in every),
            )
            for latent, every in found.items()
        }


def _subtracted(old: Found, new: Found, of_old: float, of_new: float) -> dict[str, Any]:
    return {name: new[name] / of_new - old[name] / of_old for name in new}


def _attributed(old: Found, new: Found, of_old: float, of_new: float) -> dict[str, Any]:
    """Return the entries of both PMs, each comparison and feature once.

    The active side is that of the larger activation in both PMs together.  An attribution to the
    other side counts with the opposite sign, as in chosen minus rejected.
    """
    parts = [old, new]
    key = [one["compared"].astype(np.int64) << 32 | one["latent"].astype(np.int64) for one in parts]
    every, at = np.unique(np.concatenate(key), return_inverse=True)
    own = np.split(at, [len(key[0])])

    def summed(name: str, scale: Sequence[Floats]) -> Floats:
        total = np.zeros(len(every))
        for place, part, by in zip(own, parts, scale, strict=True):
            total[place] += part[name].astype(np.float64) * by
        return total

    half = [np.full(len(one), 0.5) for one in key]
    chosen, rejected = summed("chosen", half), summed("rejected", half)
    side = np.where(rejected > chosen, REJECTED, CHOSEN)
    # of a feature on one of two PMs alone, the mean of both is half of that one
    toward = [np.where(part["side"] == CHOSEN, 1.0, -1.0) for part in parts]
    lean = summed("attribution", [-toward[0] / of_old, toward[1] / of_new])
    whole = [np.full(len(one), 1.0) for one in key]
    most = {name: summed(name, whole) for name in ("chosen_tokens", "rejected_tokens")}
    entries = {
        "compared": every >> 32,
        "latent": every & 0xFFFFFFFF,
        "side": side,
        "attribution": np.where(side == CHOSEN, lean, -lean),
        "chosen": chosen,
        "rejected": rejected,
        **{name: np.ceil(value / 2) for name, value in most.items()},
    }
    kinds = {name.name: new[name.name].dtype for name in fields(Attributed)}
    found = {name: value.astype(kinds[name]) for name, value in entries.items()}
    rest = {name: new[name] / of_new - old[name] / of_old for name in ("change", "gap")}
    return found | rest | {"tokens": new["tokens"]}


_Difference = Callable[[Found, Found, float, float], dict[str, Any]]
_DIFFERENCES: Mapping[type, _Difference] = {
    AttributeTask: _attributed,
    AblateTask: _subtracted,
    GroupTask: _subtracted,
}
"""Of tasks whose results are figures of a PM, their difference."""
