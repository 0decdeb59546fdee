"""Proposal: cheap scores choose which features are ablated for real.

Each feature's attribution is weighted as the gap weighs rewards, so its score is its estimated
share in the gap of the discovery prompts.  Candidates are the union of the best by plain AtP and
by integrated gradients, for one large-norm feature is enough to ruin either, and of the decoder
neighbours of the very best, into which a concept may have been split.  A feature that is
silent on most examples is passed over, but the strongest of these are kept for ablation too, so
that the report can show what the filter dropped.

Attribution ends here: from now on only real ablations count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from pm_audit.discover.decoder_neighbours import nearest
from pm_audit.discover.folds import Fold
from pm_audit.engine.attribution import Attributions, Method, attribute
from pm_audit.engine.contrast import Contrast, Floats, Integers, Mask
from pm_audit.engine.trace import Trace
from pm_audit.models.preference_model import PreferenceModel
from pm_audit.records import Feature, MethodRecord, Role
from pm_audit.saes.sae import Sae

LEAST_FREQUENCY = 0.5
"""A feature that fires on fewer examples than this share cannot stand for the claim."""

RARE_SHOWN = 4
"""Rare features per fold and SAE that are ablated all the same, to show what the filter drops."""


SPLIT_PARENTS = 4
"""Best candidates of a fold and SAE whose decoder neighbours are candidates too."""

SPLIT_PARTS = 2
"""Neighbours of each of them at most, out of the fold's number of candidates."""

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
    """[latent row], 1 where the feature is active at any completion token."""
    completeness_gap: Floats
    """[row], attributions plus error term minus the true change, raw reward."""
    change: Floats
    """[row], the true change along the path that the completeness gap is held against."""


@dataclass(frozen=True, eq=False)
class Proposal:
    """Candidates for ablation, with the scores that proposed them."""

    scores: tuple[SaeScores, ...]
    by_fold: tuple[tuple[Feature, ...], ...]
    """Candidates of each fold's discovery prompts, best score first."""
    rare: tuple[frozenset[Feature], ...]
    """By fold: candidates that fire on too few examples; ablated to be shown, never selected."""

    @property
    def features(self) -> tuple[Feature, ...]:
        """Every candidate once."""
        return tuple(dict.fromkeys(feature for fold in self.by_fold for feature in fold))

    def of_sae(self, sae: Sae) -> Integers:
        """Return the latents of one SAE among the candidates."""
        return np.array(
            [feature.index for feature in self.features if feature.sae == sae.name], dtype=np.int64
        )

    def integrated(self, feature: Feature) -> Floats:
        """Return a feature's attribution by integrated gradients, [row]."""
        return _row(self._of(feature).integrated, feature)

    def fires(self, feature: Feature) -> Floats:
        """Return 1 for each row in which a feature fires, else 0, [row]."""
        return _row(self._of(feature).fires, feature)

    def completeness(self, rows: Mask) -> float:
        """Return the mean size of the completeness gap as a share of the mean true change.

        Over the marked rows, and the worst of the SAEs.
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


def propose(
    pm: PreferenceModel,
    trace: Trace,
    contrast: Contrast,
    folds: Sequence[Fold],
    *,
    method: MethodRecord,
) -> Proposal:
    """Score every active feature of every SAE and choose each fold's candidates."""
    scores = tuple(_score(pm, trace, sae, method) for sae in trace.saes)
    return rank(scores, trace, contrast, folds, method=method)


def rank(
    scores: tuple[SaeScores, ...],
    trace: Trace,
    contrast: Contrast,
    folds: Sequence[Fold],
    *,
    method: MethodRecord,
) -> Proposal:
    """Choose each fold's candidates from scores that are there already, whatever the contrast."""
    rare, by_fold = [], []
    for fold in folds:
        ranked: list[tuple[float, Feature]] = []
        silent: set[Feature] = set()
        for one in scores:
            chosen, dropped = _candidates(one, contrast, fold, trace.rewards, method)
            ranked += chosen + dropped
            silent |= {feature for _, feature in dropped}
        ranked.sort(key=lambda pair: -pair[0])
        by_fold.append(tuple(feature for _, feature in ranked))
        rare.append(frozenset(silent))
    return Proposal(scores, tuple(by_fold), tuple(rare))


def _score(pm: PreferenceModel, trace: Trace, sae: Sae, method: MethodRecord) -> SaeScores:
    atp = attribute(pm, trace, sae, method=Method.ATP)
    integrated = attribute(
        pm, trace, sae, method=Method.INTEGRATED_GRADIENTS, steps=method.ig_steps
    )
    features = trace.features[sae.name]
    rows = trace.row_of_token()[features.token.cpu().numpy()]
    latents = features.latent.cpu().numpy()
    shape = (sae.width, len(trace.grid))
    fires = csr_array((np.ones(len(rows)), (latents, rows)), shape=shape)
    fires.sum_duplicates()
    fires.data[:] = 1.0
    return SaeScores(
        sae=sae,
        atp=_by_latent(atp, shape),
        integrated=_by_latent(integrated, shape),
        fires=fires,
        completeness_gap=integrated.completeness_gap,
        change=integrated.change,
    )


def _by_latent(attributions: Attributions, shape: tuple[int, int]) -> csr_array:
    latent, row, value = attributions.by_row()
    return csr_array((value, (latent, row)), shape=shape)


def _candidates(
    scores: SaeScores,
    contrast: Contrast,
    fold: Fold,
    rewards: Floats,
    method: MethodRecord,
) -> tuple[list[tuple[float, Feature]], list[tuple[float, Feature]]]:
    """Return the best candidates and the best of those that fire too rarely, with their scores."""
    weights = contrast.weights(fold.discovery)
    sign = 1.0 if weights @ rewards >= 0 else -1.0
    by_atp = sign * (scores.atp @ weights)
    by_ig = sign * (scores.integrated @ weights)
    examples = contrast.has_role(Role.EXAMPLE) & contrast.of_prompts(fold.discovery)
    frequency = scores.fires @ examples / examples.sum()
    frequent = frequency >= LEAST_FREQUENCY

    def best(score: Floats, allowed: np.ndarray, most: int) -> list[int]:
        order = np.argsort(-np.where(allowed, score, -np.inf), kind="stable")[:most]
        # A tie at zero is no order: a feature without effect is no candidate.
        return [int(latent) for latent in order if allowed[latent] and score[latent] > 0]

    half = -(-method.candidates // 2)
    chosen = best(by_ig, frequent, half)
    parts = [part for latent in chosen[:SPLIT_PARENTS] for part in _parts(scores.sae, latent)]
    chosen += [part for part in dict.fromkeys(parts) if frequent[part] and part not in chosen]
    del chosen[method.candidates :]
    for latent in best(by_atp, frequent, method.candidates):
        if len(chosen) == method.candidates:
            break
        if latent not in chosen:
            chosen.append(latent)
    dropped = best(by_ig, ~frequent, RARE_SHOWN)
    gap = abs(float(weights @ rewards)) or 1.0

    def named(latents: list[int]) -> list[tuple[float, Feature]]:
        return [
            (
                float(max(by_ig[latent], by_atp[latent]) / gap),
                Feature(sae=scores.sae.name, layer=scores.sae.layer, index=latent),
            )
            for latent in latents
        ]

    return named(chosen), named(dropped)


def _parts(sae: Sae, latent: int) -> list[int]:
    near = nearest(sae, latent, most=SPLIT_PARTS)
    return [index for index, cosine in near if cosine >= SPLIT_COSINE]
