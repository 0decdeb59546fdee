"""The stages of a scan over a sample: attribute, ablate, rank, describe, group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pm_audit.forward.grid import Integers
from pm_audit.records import Figure
from pm_audit.records.scan import FeatureGroup, ScannedFeature
from pm_audit.scanning.ablated import Ablated, AblateTask, joined
from pm_audit.scanning.attributed import AttributeTask, merged
from pm_audit.scanning.compared import CHOSEN, Comparison
from pm_audit.scanning.described import DescribeTask, descriptions
from pm_audit.scanning.groups import GroupTask, closeness, contributions, grouped, similarities
from pm_audit.scanning.paired import PairedShop
from pm_audit.scanning.ranking import (
    Change,
    Measured,
    Trial,
    candidates,
    carriers,
    certainty,
    rank_of,
    rank_of_group,
    trials,
)
from pm_audit.scanning.store import BUDGET, SHARD, Shop, shards
from pm_audit.scanning.summary import Reading

Floats = npt.NDArray[np.float64]

DESCRIBED = 64
"""Ranked features that are kept, labelled and grouped."""
MOVED = 0.5
"""Share of comparisons that a group moves beyond the noise if only its share says it changed."""
TEXTS = 6
"""Comparisons from which a feature's label and texts are taken, the most active first."""


class Plan(NamedTuple):
    """How much is measured."""

    candidates: int
    ablated: int
    """Comparisons on which each candidate is ablated at most."""
    ig_steps: int
    confidence: float
    seed: int


class _Part(NamedTuple):
    """Some trials whose comparisons make a shard."""

    compared: tuple[Comparison, ...]
    wanted: tuple[tuple[int, int, int], ...]
    """Number of the comparison in the shard, number or index of what is ablated, side."""
    places: list[int]
    """Of the trials, among all."""


@dataclass(frozen=True, eq=False)
class Ranked:
    """A feature with its figures, and where they were measured."""

    feature: ScannedFeature
    trials: Sequence[Trial]
    effects: Floats
    """Contrast contributions of these trials."""


class Scanner:
    """A sample whose features are attributed; each further stage is a method.

    Args:
        shop: runs tasks and keeps their results, of one PM, or of what two PMs differ in.
        reading: what was read of the preference set.
        sampled: the comparisons that are attributed, by their places in it.
        noise: change of a reward below which nothing can be read.
        plan: how much is measured.
        change: of two PMs over the sample, by shares of which features are ranked; None ranks them
            by their effects.

    """

    def __init__(
        self,
        shop: Shop | PairedShop,
        reading: Reading,
        sampled: Integers,
        noise: float,
        plan: Plan,
        change: Change | None = None,
    ) -> None:
        self._shop, self._plan, self._sae = shop, plan, shop.fleet.subject.sae
        self._compared = [reading.compared[at] for at in sampled]
        parts = shards(self._compared)
        found = shop.run([AttributeTask(part, BUDGET, plan.ig_steps) for part in parts])
        entries, tokens, self.completeness = merged(found, [len(part) for part in parts])
        gaps, cluster = reading.differences[sampled], reading.cluster[sampled]
        self._measured = Measured(entries, tokens, gaps, cluster, noise, plan.confidence, change)
        self._ranked: dict[int, Ranked] = {}

    def ranked(self) -> list[ScannedFeature]:
        """Ablate the candidates and return those that are kept, most certain effect first."""
        plan, entries, total = self._plan, self._measured.entries, len(self._compared)
        change = self._measured.change
        if change is None:
            latents = candidates(
                entries, sampled=total, most=plan.candidates, confidence=plan.confidence
            )
        else:
            latents = carriers(entries, change, sampled=total, most=plan.candidates)
        order = np.random.default_rng(plan.seed).permutation(total)
        every = trials(entries, latents, most=plan.ablated, order=order)
        parts = self._parts(every, [one.latent for one in every])
        effects = np.zeros((3, len(every)))
        results = self._shop.run([AblateTask(part.compared, part.wanted, BUDGET) for part in parts])
        for part, result in zip(parts, results, strict=True):
            own = joined([result])
            effects[:, part.places] = own.contrast, own.zero_chosen, own.zero_rejected
        for latent, places in groupby(range(len(every)), key=lambda at: every[at].latent):
            at = list(places)
            own_trials, own_effects = [every[one] for one in at], Ablated(*effects[:, at])
            feature = self._measured.feature(self._sae, own_trials, own_effects)
            self._ranked[latent] = Ranked(feature, own_trials, own_effects.contrast)
        features = [one.feature for one in self._ranked.values()]
        return sorted(features, key=lambda one: -rank_of(one))[:DESCRIBED]

    def described(self, features: Sequence[ScannedFeature]) -> list[ScannedFeature]:
        """Return features with their labels and texts."""
        tasks = [DescribeTask(self._strongest(one.index), one.index, BUDGET) for one in features]
        found = descriptions(self._shop.run(tasks))
        return [
            feature.model_copy(update=vars(words))
            for feature, words in zip(features, found, strict=True)
        ]

    def groups(self, features: Sequence[ScannedFeature]) -> list[FeatureGroup]:
        """Return the groups of ranked features, each ablated as a whole, in order of certainty."""
        latents = [one.index for one in features]
        alike = similarities(
            self._measured.entries, self._sae, latents, sampled=len(self._compared)
        )
        found = grouped(alike)
        several = [members for members in found if len(members) > 1]
        joint = self._joint([tuple(latents[at] for at in members) for members in several])
        groups = []
        for members in found:
            lead = self._ranked[latents[members[0]]]
            effects = joint.get(lead.feature.index, lead.effects)
            follows = self._measured.follows([latents[at] for at in members])
            groups.append(self._group(members, lead, effects, closeness(alike, members), follows))
        return sorted(groups, key=lambda one: -rank_of_group(one))

    def _group(
        self,
        members: tuple[int, ...],
        lead: Ranked,
        effects: Floats,
        similarity: float | None,
        follows: float | None,
    ) -> FeatureGroup:
        compared = np.array([trial.compared for trial in lead.trials])
        chosen = np.array([trial.side == CHOSEN for trial in lead.trials])
        measured = self._measured
        effect, moved = measured.mean(effects, compared), measured.moved(effects)
        return FeatureGroup(
            features=members,
            effect=effect,
            difference=measured.mean(np.where(chosen, effects, -effects), compared),
            moved=moved,
            compared=len(effects),
            similarity=similarity,
            share=measured.share(lead.trials, effects),
            follows=follows,
            changed=self._changed(lead.trials, effects, effect, moved),
        )

    def _changed(
        self, trials: Sequence[Trial], effects: Floats, effect: Figure, moved: float
    ) -> bool:
        """Whether the effect of a group certainly differs in two PMs, or carries their change."""
        share = self._measured.share(trials, effects, together=True)
        if share is None:
            return False
        carries = certainty(share) > 0 and moved >= MOVED
        return certainty(effect) > self._measured.noise or carries

    def _joint(self, sets: Sequence[tuple[int, ...]]) -> dict[int, Floats]:
        """Return contributions of whole sets on the trials of their first features, by these."""
        every = [one for members in sets for one in self._ranked[members[0]].trials]
        numbers = [at for at, members in enumerate(sets) for _ in self._ranked[members[0]].trials]
        effects = np.zeros(len(every))
        parts = self._parts(every, numbers)
        tasks = [GroupTask(part.compared, tuple(sets), part.wanted, BUDGET) for part in parts]
        for part, result in zip(parts, self._shop.run(tasks), strict=True):
            effects[part.places] = contributions([result])
        return {members[0]: effects[np.array(numbers) == at] for at, members in enumerate(sets)}

    def _parts(self, every: Sequence[Trial], what: Sequence[int]) -> list[_Part]:
        """Return the trials by shards of the comparisons that they need."""
        needed = sorted({trial.compared for trial in every})
        number = {compared: at for at, compared in enumerate(needed)}
        members: dict[int, list[int]] = {}
        for at, trial in enumerate(every):
            members.setdefault(number[trial.compared] // SHARD, []).append(at)
        return [
            _Part(
                tuple(self._compared[one] for one in needed[shard * SHARD : (shard + 1) * SHARD]),
                tuple((number[every[at].compared] % SHARD, what[at], every[at].side) for at in own),
                own,
            )
            for shard, own in sorted(members.items())
        ]

    def _strongest(self, latent: int) -> tuple[Comparison, ...]:
        """Return the comparisons on whose sides a feature is most active."""
        own = self._measured.entries.of(latent)
        order = np.argsort(-np.maximum(own.chosen, own.rejected), kind="stable")[:TEXTS]
        return tuple(self._compared[at] for at in own.compared[order])
