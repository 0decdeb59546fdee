"""Proposal: attributions choose which features are ablated for real.

Each feature's attribution, along the path of the replacement, is weighted as the gap weighs
rewards, so its score is its estimated share in the gap of the rows that a search sees.  The
candidates are the best over all SAEs at once; whether a feature is active elsewhere too is no
reason to leave it out, for the search measures what it does there.  If the method requests extra
scores, GradDrop and per-feature IG of large features propose some as well.

Examples are attributed by integrated gradients; what a feature does to counter-examples and
controls is only needed to order trials, and is attributed by AtP.

Attribution ends here: from now on only real ablations count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from pm_audit.attribution.grad_drop import grad_drop
from pm_audit.attribution.integrated_gradients import Method, attribute
from pm_audit.attribution.per_feature_ig import attribute_per_feature, large_norm_latents
from pm_audit.forward.contrast import Floats, Integers
from pm_audit.forward.experiment import Experiment
from pm_audit.forward.targets import Targets
from pm_audit.records import Feature, MethodRecord, Role
from pm_audit.search.folds import Fold
from pm_audit.subject.sae import Sae

AGAINST_PART = 4
"""One in this many candidates works against the gap."""

EXTRA_PART = 8
"""One in this many candidates comes from each of the extra scores, if these are requested."""

_ROUNDING = 1e-6
"""Share of the gap up to which an attribution is what fp32 leaves of zero."""


@dataclass(frozen=True, eq=False)
class SaeScores:
    """One SAE's attributions, summed over positions."""

    sae: Sae
    attributed: csr_array
    """[latent row], raw reward."""
    completeness_gap: Floats
    """[row], attributions plus error term minus the true change, raw reward; of examples."""
    change: Floats
    """[row], the true change along the path, to which the completeness gap is compared."""
    per_feature: csr_array | None = None
    """[latent row], per-feature IG of large features."""
    dropped: csr_array | None = None
    """[latent row], sizes of attributions with one block's gradient dropped at a time."""

    def feature(self, latent: int) -> Feature:
        """Return a latent of this SAE by its full name."""
        return Feature(sae=self.sae.name, layer=self.sae.layer, index=latent)


@dataclass(frozen=True, eq=False)
class Proposal:
    """Attributions of a trace along the path of one replacement."""

    experiment: Experiment
    scores: tuple[SaeScores, ...]
    targets: Targets
    """What stands in the features' place at the path's end."""

    def candidates(self, fold: Fold, *, most: int) -> tuple[Feature, ...]:
        """Return the features to try on what a fold's search sees, those of extra scores first."""
        weights = self.weights(fold)
        weights = self.sign(weights) * weights
        rounding = _ROUNDING * float(weights @ self.experiment.rewards)
        shares = [one.attributed @ weights for one in self.scores]
        shares = [np.where(np.abs(share) > rounding, share, 0.0) for share in shares]
        part = max(1, most // EXTRA_PART)
        extra = [one for scores in self._extra(weights) for one in self.best(scores, part)]
        return tuple(dict.fromkeys([*extra, *self.for_and_against(shares, most)]))[:most]

    def weights(self, fold: Fold) -> Floats:
        """Return the weights [row] that make rewards the gap that a search sees."""
        contrast = self.experiment.contrast
        return contrast.weights(fold.discovery, among=fold.sees(contrast))

    def sign(self, weights: Floats) -> float:
        """Return the sign of the gap that these weights [row] make of the rewards."""
        return 1.0 if weights @ self.experiment.rewards >= 0 else -1.0

    def attributed(self, features: Sequence[Feature], rows: Integers) -> Floats:
        """Return attributions [feature row] of some features and rows."""
        found = np.zeros((len(features), len(rows)))
        for one in self.scores:
            own = [at for at, feature in enumerate(features) if feature.sae == one.sae.name]
            latents = [features[at].index for at in own]
            found[own] = one.attributed[latents].toarray()[:, rows]
        return found

    def completeness(self, rows: Integers) -> float:
        """Return the mean size of the completeness gap as a share of the mean true change.

        Over these rows, and the worst of the SAEs.
        """
        return max(
            float(
                np.abs(scores.completeness_gap[rows]).mean()
                / max(np.abs(scores.change[rows]).mean(), 1e-12)
            )
            for scores in self.scores
        )

    def for_and_against(self, scores: Sequence[Floats], most: int) -> list[Feature]:
        """Return the features of greatest score, and a part that has the greatest of other sign.

        A set without those that work against the gap would close too much of it.
        """
        against = self.best([-score for score in scores], most // AGAINST_PART)
        return [*self.best(scores, most - len(against)), *against]

    def best(self, scores: Sequence[Floats], most: int) -> list[Feature]:
        """Return the features of greatest score over all SAEs; ``scores`` is [sae][latent]."""
        ranked = {
            one.feature(latent): float(score[latent])
            for one, score in zip(self.scores, scores, strict=True)
            for latent in strongest(score, most)
        }
        return sorted(ranked, key=lambda feature: -ranked[feature])[:most]

    def _extra(self, weights: Floats) -> list[list[Floats]]:
        """Return what the extra scores say of each latent, [score][sae][latent], if requested.

        GradDrop's sizes have no sign, and count for a gap of either sign.
        """
        signed = [one.per_feature @ weights for one in self.scores if one.per_feature is not None]
        sizes = [one.dropped @ np.abs(weights) for one in self.scores if one.dropped is not None]
        return [scores for scores in (signed, sizes) if scores]


def propose(experiment: Experiment, targets: Targets, *, method: MethodRecord) -> Proposal:
    """Attribute every completion's reward to the features of every SAE."""
    scores = tuple(_score(experiment, sae, targets, method) for sae in experiment.trace.saes)
    return Proposal(experiment, scores, targets)


def strongest(score: Floats, most: int) -> list[int]:
    """Return the latents of greatest score [latent], best first; none at or below zero."""
    # A tie at zero is no order: a feature without effect is no candidate.
    return [int(latent) for latent in np.argsort(-score, kind="stable")[:most] if score[latent] > 0]


def _score(experiment: Experiment, sae: Sae, targets: Targets, method: MethodRecord) -> SaeScores:
    trace, total = experiment.trace, len(experiment.rewards)
    examples = experiment.rows(Role.EXAMPLE)
    others = experiment.rows(Role.COUNTER_EXAMPLE, Role.CONTROL)
    own = attribute(trace, sae, steps=method.ig_steps, rows=examples, targets=targets)
    # the true change of the others is not needed, so it is not run
    nothing = np.zeros(len(others))
    elsewhere = attribute(
        trace, sae, method=Method.ATP, rows=others, targets=targets, change=nothing
    )
    per_feature = dropped = None
    if method.extra_scores:
        large = large_norm_latents(trace, sae, most=method.candidates // EXTRA_PART)
        each = attribute_per_feature(
            trace, sae, large, steps=method.ig_steps, rows=examples, targets=targets
        )
        shape = (sae.width, total)
        per_feature = csr_array((each.value, (each.latent, each.row)), shape=shape)
        dropped = grad_drop(trace, sae, rows=examples, targets=targets)
    return SaeScores(
        sae=sae,
        attributed=csr_array(own.by_row + elsewhere.by_row),
        completeness_gap=_in_rows(own.completeness_gap, examples, total),
        change=_in_rows(own.change, examples, total),
        per_feature=per_feature,
        dropped=dropped,
    )


def _in_rows(values: Floats, rows: Integers, total: int) -> Floats:
    spread = np.zeros(total)
    spread[rows] = values
    return spread
