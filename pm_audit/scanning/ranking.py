"""From attributions to candidates, and from ablations to a ranking.

A feature is ranked by what it does to the side on which it is more active, whichever that is: a
bias of the PM moves the reward wherever it appears, and need not follow the labels.  The rank is
by certainty of size: the end of the effect's interval that is nearer to zero, so that neither a
large effect in two pairs nor one without a common sign comes first.  Candidates are proposed in
the same way from attributions, of the active side and, in turn, of chosen minus rejected.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from pm_audit.forward.grid import Integers
from pm_audit.judging.intervals import as_figure
from pm_audit.judging.miscalibration import miscalibration
from pm_audit.records import Figure, Unit
from pm_audit.records.scan import FeatureGroup, ScannedFeature
from pm_audit.scanning.ablated import Ablated
from pm_audit.scanning.attributed import Attributed
from pm_audit.scanning.compared import CHOSEN
from pm_audit.stats import clustered_mean
from pm_audit.stats.agreement import agreement
from pm_audit.subject.sae import Sae

Floats = npt.NDArray[np.float64]

FEWEST = 8
"""Comparisons in which a candidate must be active, if the sample allows it."""


@dataclass(frozen=True, eq=False)
class Trial:
    """One ablation: a feature, or a group by its first feature, on one comparison."""

    latent: int
    compared: int
    side: int
    attribution: float


class Change(NamedTuple):
    """What a scan of two PMs explains: the change of chosen minus rejected."""

    values: Floats
    """[comparison]"""
    confidence: float
    """Of the intervals of shares, by which features are ranked."""

    @property
    def weight(self) -> Floats:
        """Return [comparison], by which contributions to chosen minus rejected add up to a share.

        The share is sum(D d) / sum(D D), D the change and d the contribution.
        """
        return self.values / max(float(np.square(self.values).sum()), 1e-300)


def carriers(entries: Attributed, change: Change, *, sampled: int, most: int) -> list[int]:
    """Return the features to ablate in a scan of two PMs, in turn the best by each of two scores.

    These are the share of the change that their attributions carry, and how closely their activity
    follows it: an edit that the PMs see with other eyes switches many features, each of which may
    carry little.
    """
    latents, at = np.unique(entries.latent, return_inverse=True)
    count = np.bincount(at, minlength=len(latents))
    often = count >= max(2, min(FEWEST, sampled // 10))
    weight = change.weight[entries.compared]
    added = np.where(entries.side == CHOSEN, 1.0, -1.0) * entries.attribution
    lean = entries.chosen.astype(np.float64) - entries.rejected

    def ordered(score: Floats) -> list[int]:
        order = np.argsort(-np.abs(score), kind="stable")
        found: list[int] = latents[order[(often & (score != 0))[order]]].tolist()
        return found

    def summed(values: Floats) -> Floats:
        total: Floats = np.bincount(at, values, minlength=len(latents)).astype(np.float64)
        return total

    size = np.sqrt(summed(np.square(lean)))
    carried = ordered(summed(weight * added))
    following = ordered(summed(weight * lean) / np.maximum(size, 1e-12))
    moving = set(carried)
    following = [latent for latent in following if latent in moving]
    turns = chain.from_iterable(zip_longest(following, carried))
    return [one for one in dict.fromkeys(turns) if one is not None][:most]


def candidates(entries: Attributed, *, sampled: int, most: int, confidence: float) -> list[int]:
    """Return the features to ablate, in turn the best by each of the two scores."""
    latents, at = np.unique(entries.latent, return_inverse=True)
    count = np.bincount(at)
    fewest = max(2, min(FEWEST, sampled // 10))

    def ordered(values: Floats) -> list[int]:
        mean = np.bincount(at, values) / count
        spread = np.bincount(at, (values - mean[at]) ** 2) / np.maximum(count - 1, 1)
        score = stdtrit(np.maximum(count - 1, 1), (1 + confidence) / 2)
        sure = np.abs(mean) - score * np.sqrt(spread / count)
        kept = np.flatnonzero((count >= fewest) & (mean != 0))
        order: list[int] = latents[kept[np.argsort(-sure[kept], kind="stable")]].tolist()
        return order

    attribution = entries.attribution.astype(np.float64)
    of_side = ordered(attribution)
    of_difference = ordered(np.where(entries.side == CHOSEN, attribution, -attribution))
    turns = chain.from_iterable(zip_longest(of_side, of_difference))
    return [one for one in dict.fromkeys(turns) if one is not None][:most]


def trials(
    entries: Attributed, latents: Sequence[int], *, most: int, order: Integers
) -> list[Trial]:
    """Return where each feature is ablated: up to ``most`` comparisons in which it is active.

    ``order`` [comparison] is a random order in which all features take them, so that they share
    comparisons and each is read for many.
    """
    found = []
    for latent in latents:
        own = entries.of(latent)
        taken = np.sort(np.argsort(order[own.compared], kind="stable")[:most])
        found += [
            Trial(latent, int(own.compared[at]), int(own.side[at]), float(own.attribution[at]))
            for at in taken
        ]
    return found


@dataclass(frozen=True, eq=False)
class Measured:
    """Everything that a rank rests on."""

    entries: Attributed
    tokens: Integers
    """[comparison side], tokens of the diverging parts."""
    gaps: Floats
    """[comparison], chosen reward minus rejected."""
    cluster: Integers
    """[comparison], number of its prompt."""
    noise: float
    confidence: float
    change: Change | None = None
    """What features are ranked by their shares of; None ranks by the effect."""

    def share(
        self, trials: Sequence[Trial], effects: Floats, *, together: bool = False
    ) -> Figure | None:
        """Return the share of the change that contributions on these trials carry.

        The trials are a draw of the comparisons in which the feature is active.  The interval holds
        for this share alone, or for those of all candidates ``together``.
        """
        if self.change is None:
            return None
        compared = np.array([trial.compared for trial in trials])
        chosen = np.array([trial.side == CHOSEN for trial in trials])
        active = len(self.entries.of(trials[0].latent).compared)
        values = self.change.weight[compared] * np.where(chosen, effects, -effects) * active
        confidence = self.confidence if together else self.change.confidence
        interval = clustered_mean(values, self.cluster[compared], confidence=confidence)
        return as_figure(interval, Unit.SHARE)

    def follows(self, latents: Sequence[int]) -> float | None:
        """Return how closely the activity of features together follows the change, 0 to 1.

        Each counts by how much more active it is on the chosen side, as a share of its own size.
        """
        if self.change is None:
            return None
        together = np.zeros(len(self.gaps))
        for latent in latents:
            own = self.entries.of(latent)
            lean = own.chosen.astype(np.float64) - own.rejected
            together[own.compared] += lean / max(float(np.linalg.norm(lean)), 1e-300)
        sizes = np.linalg.norm(together) * np.linalg.norm(self.change.values)
        return float(abs(together @ self.change.values) / max(float(sizes), 1e-300))

    def mean(self, values: Floats, compared: Integers) -> Figure:
        """Return the mean over comparisons with its interval over prompts, raw reward."""
        interval = clustered_mean(values, self.cluster[compared], confidence=self.confidence)
        return as_figure(interval, Unit.REWARD)

    def moved(self, values: Floats) -> float:
        """Return the share of comparisons that are moved by more than the noise floor."""
        return float((np.abs(values) > self.noise).mean())

    def leans_too_far(self, side: Floats) -> Figure | None:
        """Return how much oftener the PM prefers the side that shows it than the labels do."""
        found = miscalibration("feature", side, self.gaps, self.cluster, confidence=self.confidence)
        return None if found is None else found.difference

    def feature(self, sae: Sae, own: Sequence[Trial], effects: Ablated) -> ScannedFeature:
        """Return what was measured of the feature of these trials."""
        latent = own[0].latent
        compared = np.array([trial.compared for trial in own])
        chosen = np.array([trial.side == CHOSEN for trial in own])
        predicted = np.array([trial.attribution for trial in own])
        effect = effects.contrast
        agreed = agreement(predicted, effect)
        active = self.entries.of(latent)
        total, sampled = int(self.tokens.sum()), len(self.tokens)
        lean = active.chosen.astype(np.float64) - active.rejected
        side = np.zeros(sampled)
        shows = active.chosen_tokens > 0, active.rejected_tokens > 0
        side[active.compared] = shows[0].astype(float) - shows[1]
        sign = np.sign(effect.mean())
        return ScannedFeature(
            sae=sae.name,
            layer=sae.layer,
            index=latent,
            effect=self.mean(effect, compared),
            zero=self.mean(np.where(chosen, effects.zero_chosen, effects.zero_rejected), compared),
            difference=self.mean(np.where(chosen, effect, -effect), compared),
            difference_zero=self.mean(effects.zero_chosen - effects.zero_rejected, compared),
            compared=len(own),
            moved=self.moved(effect),
            same_sign=float((np.sign(effect) == sign).mean()),
            frequency=len(active.compared) / sampled,
            tokens=int(active.chosen_tokens.sum() + active.rejected_tokens.sum()) / total,
            chosen_more=float(lean.sum() / sampled),
            leans_too_far=self.leans_too_far(side),
            attribution=float(predicted.mean()),
            sign_agreement=agreed.sign_agreement,
            rank_correlation=agreed.rank_correlation,
            label=None,
            share=self.share(own, effect),
        )


def rank_of(one: ScannedFeature) -> float:
    """Return what features are ranked by, the largest first."""
    return certainty(one.effect if one.share is None else one.share)


def rank_of_group(one: FeatureGroup) -> float:
    """Return what groups are ranked by, the largest first.

    In a diff that is the share of the change that is certain, by how closely the group's activity
    follows the change: features of every answer carry something of any change.
    """
    if one.share is None:
        return certainty(one.effect)
    share = certainty(one.share)
    return share * one.follows if share > 0 and one.follows is not None else share


def certainty(effect: Figure) -> float:
    """Return the size of an effect that its interval leaves; negative if it holds zero."""
    if effect.low is None or effect.high is None:
        return -math.inf
    return max(effect.low, -effect.high)
