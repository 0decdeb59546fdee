"""Proposal: cheap scores choose which features are ablated for real.

Each feature's attribution is weighted as the gap weighs rewards, so its score is its estimated
share in the gap of the discovery prompts.  Candidates are the union of the best by plain AtP and
by integrated gradients, as one large-norm feature is enough to ruin either, and of the decoder
neighbours of the very best, into which a concept may have been split.  If the method requests
extra scores, GradDrop and per-feature IG of large features have a share too.

Most features that attribution ranks high do as much to other completions, and can explain nothing.
So three quarters of the candidates are taken among those whose attributions fall on the examples,
nearly as much as selection will require of their ablations; the rest are the strongest of all.  A
feature that is inactive on most examples is passed over, but the strongest of these are kept for
ablation too, so that the report can show what the filter dropped.

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
from pm_audit.forward.contrast import Contrast, Floats, Integers, Mask
from pm_audit.forward.experiment import Experiment
from pm_audit.records import Feature, MethodRecord, Role, SweepEvidence
from pm_audit.search.decoder_neighbours import nearest
from pm_audit.search.folds import Fold
from pm_audit.subject.sae import Sae

LEAST_FREQUENCY = 0.5
"""A feature that fires on fewer examples than this share cannot stand for the claim."""

RARE_SHOWN = 4
"""Rare features per fold and SAE that are ablated all the same, to show what the filter drops."""

GENERAL_PART = 4
"""One in this many candidates is taken for its strength alone, selective or not."""

PROMISE_SLACK = 0.2
"""How far below the required selectivity the attributed one of a promising feature may lie, by the
larger of AtP's and IG's: attribution is a rough guide to ablation."""

SPLIT_PARENTS = 4
"""Best candidates of a fold and SAE whose decoder neighbours are candidates too."""

SPLIT_PARTS = 2
"""Neighbours of each of them at most, out of the fold's number of candidates."""

EXTRA_PART = 8
"""One in this many candidates comes from each of the extra scores, if these are requested."""

SPLIT_COSINE = 0.4
"""Least cosine of two decoder rows that may be parts of one concept; unrelated ones in some
hundred dimensions stay below 0.2."""


@dataclass(frozen=True, eq=False)
class SaeScores:
    """One SAE's attributions summed over positions, and where its features fire."""

    sae: Sae
    atp: csr_array
    """[latent row]"""
    integrated: csr_array
    """[latent row]"""
    fires: csr_array
    """[latent row], 1 if the feature is active at any completion token."""
    completeness_gap: Floats
    """[row], attributions plus error term minus the true change, raw reward."""
    change: Floats
    """[row], the true change along the path, to which the completeness gap is compared."""
    per_feature: csr_array | None = None
    """[latent row], per-feature IG of large features."""
    dropped: csr_array | None = None
    """[latent row], sizes of attributions with one block's gradient dropped at a time."""

    def feature(self, latent: int) -> Feature:
        """Return a latent of this SAE by its full name."""
        return Feature(sae=self.sae.name, layer=self.sae.layer, index=latent)

    def frequency(self, contrast: Contrast, fold: Fold) -> Floats:
        """Return the share of the fold's discovery examples on which each latent fires."""
        examples = contrast.has_role(Role.EXAMPLE, prompts=fold.discovery)
        return np.asarray(self.fires @ examples / examples.sum())

    def selectivity(self, contrast: Contrast, fold: Fold) -> Floats:
        """Return the share of each latent's absolute attribution that falls on examples.

        On the fold's discovery prompts, against counter-examples, by the larger of both scores.
        """
        examples = contrast.has_role(Role.EXAMPLE, prompts=fold.discovery)
        others = contrast.has_role(Role.COUNTER_EXAMPLE, prompts=fold.discovery)
        shares = []
        for table in (abs(self.integrated), abs(self.atp)):
            on_examples = np.asarray(table @ examples) / examples.sum()
            total = on_examples + np.asarray(table @ others) / others.sum()
            shares.append(on_examples / np.where(total > 0, total, 1.0))
        return np.asarray(np.maximum(*shares))


@dataclass(frozen=True, eq=False)
class Proposal:
    """Candidates for ablation, with the scores that proposed them."""

    scores: tuple[SaeScores, ...]
    by_fold: tuple[tuple[Feature, ...], ...]
    """Candidates of each fold's discovery prompts, best score first."""
    rare: tuple[frozenset[Feature], ...]
    """By fold: candidates that fire on too few examples; ablated to be shown, never selected."""
    sweeps: tuple[SweepEvidence, ...] = ()
    """What was ablated to find the candidates, if real ablation chose them."""

    @property
    def features(self) -> tuple[Feature, ...]:
        """Every candidate once."""
        return tuple(dict.fromkeys(feature for fold in self.by_fold for feature in fold))

    def integrated(self, feature: Feature) -> Floats:
        """Return a feature's attribution by integrated gradients, [row]."""
        return _row(self._of(feature).integrated, feature)

    def fires(self, feature: Feature) -> Floats:
        """Return 1 for each row in which a feature fires, else 0, [row]."""
        return _row(self._of(feature).fires, feature)

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

    def _of(self, feature: Feature) -> SaeScores:
        return next(scores for scores in self.scores if scores.sae.name == feature.sae)


def _row(table: csr_array, feature: Feature) -> Floats:
    return np.asarray(table[[feature.index]].toarray()[0])


def propose(experiment: Experiment, folds: Sequence[Fold], *, method: MethodRecord) -> Proposal:
    """Score every active feature of every SAE and choose each fold's candidates."""
    scores = tuple(_score(experiment, sae, method) for sae in experiment.trace.saes)
    return rank(scores, experiment, folds, method=method)


def rank(
    scores: tuple[SaeScores, ...],
    experiment: Experiment,
    folds: Sequence[Fold],
    *,
    method: MethodRecord,
) -> Proposal:
    """Choose each fold's candidates from scores of the same trace; the contrast may be another."""
    rare, by_fold = [], []
    for fold in folds:
        ranked: list[tuple[float, Feature]] = []
        inactive: set[Feature] = set()
        for one in scores:
            chosen, dropped = _candidates(one, experiment, fold, method)
            ranked += chosen + dropped
            inactive |= {feature for _, feature in dropped}
        ranked.sort(key=lambda pair: -pair[0])
        by_fold.append(tuple(feature for _, feature in ranked))
        rare.append(frozenset(inactive))
    return Proposal(scores, tuple(by_fold), tuple(rare))


def _score(experiment: Experiment, sae: Sae, method: MethodRecord) -> SaeScores:
    trace = experiment.trace
    # Controls weigh nothing in a gap, so nothing about them is attributed.
    weighed = experiment.rows(Role.EXAMPLE, Role.COUNTER_EXAMPLE)
    integrated = attribute(trace, sae, steps=method.ig_steps, rows=weighed)
    atp = attribute(trace, sae, method=Method.ATP, rows=weighed, change=integrated.change)
    shape = (sae.width, len(trace.grid))
    per_feature = dropped = None
    if method.extra_scores:
        large = large_norm_latents(trace, sae, most=method.candidates // EXTRA_PART)
        alone = attribute_per_feature(trace, sae, large, steps=method.ig_steps, rows=weighed)
        per_feature = _summed(alone.latent, alone.row, alone.value, shape)
        drops = grad_drop(trace, sae, rows=weighed)
        dropped = _summed(drops.latent, drops.row, drops.score, shape)
    features = trace.features[sae.name]
    row = trace.row_of_token()[features.token_here]
    fires = _summed(features.latent_here, row, np.ones(len(row)), shape)
    fires.data[:] = 1.0
    return SaeScores(
        sae=sae,
        atp=_summed(atp.latent, atp.row, atp.value, shape),
        integrated=_summed(integrated.latent, integrated.row, integrated.value, shape),
        fires=fires,
        completeness_gap=_in_rows(integrated.completeness_gap, weighed, shape[1]),
        change=_in_rows(integrated.change, weighed, shape[1]),
        per_feature=per_feature,
        dropped=dropped,
    )


def _summed(latent: Integers, row: Integers, value: Floats, shape: tuple[int, int]) -> csr_array:
    """Return a table [latent row] of values summed over positions."""
    table = csr_array((value, (latent, row)), shape=shape)
    table.sum_duplicates()
    return table


def _in_rows(values: Floats, rows: Integers, total: int) -> Floats:
    spread = np.zeros(total)
    spread[rows] = values
    return spread


def _candidates(
    scores: SaeScores, experiment: Experiment, fold: Fold, method: MethodRecord
) -> tuple[list[tuple[float, Feature]], list[tuple[float, Feature]]]:
    """Return the best candidates and the best of those that fire too rarely, with their scores."""
    contrast, gap = experiment.contrast, experiment.gap(fold.discovery)
    weights = contrast.weights(fold.discovery)
    sign = 1.0 if gap >= 0 else -1.0
    by_atp = sign * (scores.atp @ weights)
    by_ig = sign * (scores.integrated @ weights)
    frequent = scores.frequency(contrast, fold) >= LEAST_FREQUENCY
    selective = scores.selectivity(contrast, fold) >= method.selectivity - PROMISE_SLACK
    promising = frequent & selective

    most = method.candidates - method.candidates // GENERAL_PART
    chosen = strongest(by_ig, promising, -(-most // 2))
    parts = [part for latent in chosen[:SPLIT_PARENTS] for part in _parts(scores.sae, latent)]
    chosen += [part for part in dict.fromkeys(parts) if frequent[part] and part not in chosen]
    for extra in _extra(scores, weights, sign):
        chosen += _others(extra, promising, chosen, method.candidates // EXTRA_PART)
    del chosen[most:]
    chosen += _others(by_atp, promising, chosen, most - len(chosen))
    by_either = np.maximum(by_ig, by_atp)
    chosen += _others(by_either, frequent, chosen, method.candidates // GENERAL_PART)
    dropped = strongest(by_ig, ~frequent, RARE_SHOWN)
    size = abs(gap) or 1.0

    def named(latents: list[int]) -> list[tuple[float, Feature]]:
        return [(float(by_either[one] / size), scores.feature(one)) for one in latents]

    return named(chosen), named(dropped)


def strongest(score: Floats, allowed: Mask, most: int) -> list[int]:
    """Return the allowed latents of greatest score [latent], best first; none at or below zero."""
    order = np.argsort(-np.where(allowed, score, -np.inf), kind="stable")[:most]
    # A tie at zero is no order: a feature without effect is no candidate.
    return [int(latent) for latent in order if allowed[latent] and score[latent] > 0]


def _others(score: Floats, allowed: Mask, chosen: Sequence[int], most: int) -> list[int]:
    """Return the strongest of the allowed latents that are not chosen yet."""
    left = allowed.copy()
    left[list(chosen)] = False
    return strongest(score, left, most)


def _extra(scores: SaeScores, weights: Floats, sign: float) -> list[Floats]:
    """Return what the extra scores say of each latent [latent], if they were taken.

    GradDrop's sizes have no sign: larger sizes on examples than on counter-examples count, for a
    gap of either sign.
    """
    found = []
    if scores.per_feature is not None:
        found.append(sign * (scores.per_feature @ weights))
    if scores.dropped is not None:
        found.append(scores.dropped @ weights)
    return found


def _parts(sae: Sae, latent: int) -> list[int]:
    near = nearest(sae, latent, most=SPLIT_PARTS)
    return [index for index, cosine in near if cosine >= SPLIT_COSINE]
