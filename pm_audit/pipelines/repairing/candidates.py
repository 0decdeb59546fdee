"""What is tried as a repair: verified sets and single features, at levels or as directions."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from pm_audit.errors import ModelError
from pm_audit.forward.scale import reference_grid
from pm_audit.forward.trace import trace
from pm_audit.interventions.levels import Levels, mean_levels, zero_levels
from pm_audit.loading.projected import Projection, refusal
from pm_audit.pipelines.repairing.options import RepairOptions
from pm_audit.pipelines.repairing.verified_sets import VerifiedSet
from pm_audit.records import Feature
from pm_audit.records.repair import Level, RepairCandidate, RepairKind
from pm_audit.subject.preference_model import PreferenceModel
from pm_audit.subject.sae import Sae

SMALLEST = 30
"""Prompts of a subset on which a repair of its own is chosen and judged, at least."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A repair that can be replayed."""

    name: str
    kind: RepairKind
    level: Level
    features: tuple[Feature, ...]
    levels: Levels
    projection: Projection | None = None

    def __str__(self) -> str:
        """Return it as a record's table names it."""
        return str(self.record({}))

    def record(self, change: dict[str, float]) -> RepairCandidate:
        """Return what a record says about it."""
        return RepairCandidate(
            name=self.name, kind=self.kind, level=self.level, features=self.features, change=change
        )


def candidates_of(
    pm: PreferenceModel, saes: Sequence[Sae], sets: Sequence[VerifiedSet], options: RepairOptions
) -> tuple[tuple[Candidate, ...], list[str]]:
    """Return every set and its strongest features at every level, and why some are not tried."""
    ordinary = mean_levels(trace(pm, saes, reference_grid(pm)))
    nothing = zero_levels(saes)
    found: dict[tuple[object, ...], Candidate] = {}
    notes: list[str] = []
    for one in sets:
        known = {Level.CONTRAST: one.levels, Level.MEAN: ordinary, Level.ZERO: nothing}
        alone = one.plain[: options.singles] if len(one.plain) > 1 else ()
        for level in options.levels:
            if (values := known[level]) is None:
                continue
            whole = Candidate(one.name, RepairKind.FEATURES, level, one.plain, values)
            found[one.name, level] = whole
            # a feature's contrast is of its own hypothesis, the other levels are of none
            own = f" of {one.name}" if level is Level.CONTRAST else ""
            for feature in alone:
                single = replace(whole, name=f"{feature}{own}", features=(feature,))
                found.setdefault((single.name, level), single)
        if options.directions:
            projection, reason = _directions(pm, saes, one)
            if projection is not None:
                found[one.name, RepairKind.DIRECTIONS] = projection
            else:
                notes.append(f"{one.name}: its directions are not tried: {reason}")
    return tuple(found.values()), notes


def picked_of(name: str, candidates: Sequence[Candidate]) -> Candidate:
    """Return the candidate of a name, as the table of repairs spells it.

    Raises:
        ModelError: none is called so.

    """
    named = {str(one): one for one in candidates}
    if name not in named:
        near = difflib.get_close_matches(name, named, n=5, cutoff=0) or list(named)[:5]
        raise ModelError(f"no repair is called {name!r}; there are {'; '.join(near)}")
    return named[name]


def _directions(
    pm: PreferenceModel, saes: Sequence[Sae], one: VerifiedSet
) -> tuple[Candidate | None, str]:
    reason = refusal(pm)
    names = {feature.sae for feature in one.plain}
    if reason or len(names) > 1 or one.streams is None or one.levels is None:
        return None, reason or ("it spans several SAEs" if len(names) > 1 else "no contrast level")
    sae = next(sae for sae in saes if sae.name in names)
    rows = sae.W_dec[torch.tensor([feature.index for feature in one.plain])]
    projection = Projection.onto(rows, one.streams[sae.layer], sae.layer)
    kind = RepairKind.DIRECTIONS
    return Candidate(one.name, kind, Level.CONTRAST, one.plain, one.levels, projection), ""
