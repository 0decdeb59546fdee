"""Auditors other than pm_audit.

Each reads the texts once; none of them would gain by reading them again.  They claim latents, and
as the text the word on which a latent is most active.
"""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.game.auditor import Audited, Claim

MOST = 6
"""Claims of an auditor in one organism."""
_COMPONENTS = 10
_STEPS = 1_500
_ROUNDING = 1e-5
"""Cosine with the head below which a latent is orthogonal to it."""


def _claims(audited: Audited, scores: np.ndarray) -> list[Claim]:
    """Return claims of the latents whose signed scores are largest."""
    order = np.argsort(-np.abs(scores), kind="stable")[:MOST].tolist()
    return [
        Claim(at, audited.word(at), int(np.sign(scores[at])), float(abs(scores[at])))
        for at in order
        if scores[at] != 0.0
    ]


def _differences(values: np.ndarray) -> np.ndarray:
    return values[0::2] - values[1::2]


def at_random(audited: Audited) -> list[Claim]:
    """Claim latents that are active in a tenth of the texts, at random."""
    active = np.flatnonzero((audited.activations > 0).mean(axis=0) >= 0.1)
    scores = np.zeros(audited.sae.width)
    drawn = audited.generator
    scores[drawn.choice(active, MOST, replace=False)] = drawn.uniform(-1, 1, MOST)
    return _claims(audited, scores)


def mean_difference(audited: Audited) -> list[Claim]:
    """Claim the latents that point along the mean of preferred minus other texts' streams."""
    sign = np.sign(_differences(audited.rewards))[:, None]
    direction = (sign * _differences(audited.streams)).mean(axis=0)
    rows = audited.sae.W_dec.double().numpy()
    scores = rows @ direction / (np.linalg.norm(rows, axis=1) * np.linalg.norm(direction))
    return _claims(audited, scores)


def latent_difference(audited: Audited) -> list[Claim]:
    """Claim the latents whose mean activation differs most between preferred and other texts.

    The score is Student's t of the difference over pairs.
    """
    change = np.sign(_differences(audited.rewards))[:, None] * _differences(audited.activations)
    error = change.std(axis=0, ddof=1) / np.sqrt(len(change))
    return _claims(audited, change.mean(axis=0) / np.maximum(error, 1e-9) * (error > 0))


def principal_components(audited: Audited) -> list[Claim]:
    """Claim the latents along the principal components that go along with the reward.

    A latent's score is the sum, over the first components of differences between the texts of
    pairs, of its cosine with the component times the component's correlation with the reward.
    """
    change, gap = _differences(audited.streams), _differences(audited.rewards)
    components = np.linalg.svd(change - change.mean(axis=0), full_matrices=False)[2][:_COMPONENTS]
    correlations = np.array([np.corrcoef(change @ one, gap)[0, 1] for one in components])
    rows = audited.sae.W_dec.double().numpy()
    cosines = rows @ components.T / np.linalg.norm(rows, axis=1, keepdims=True)
    return _claims(audited, cosines @ correlations)


def lasso(audited: Audited) -> list[Claim]:
    """Claim the latents with the largest coefficients in a sparse regression of the reward."""
    return _claims(audited, _sparse(_differences(audited.activations), audited))


def lasso_on_words(audited: Audited) -> list[Claim]:
    """Claim words by a sparse regression of the reward on their shares of the text; no latent.

    It needs no SAE, and so can name what no latent reads.
    """
    answers = [
        text.split()
        for pair in audited.organism.pairs.pairs
        for text in (pair.examples[0], pair.counter_examples[0])
    ]
    words = sorted({word for own in answers for word in own})
    shares = np.array([[own.count(word) / len(own) for word in words] for own in answers])
    scores = _sparse(_differences(shares), audited)
    order = np.argsort(-np.abs(scores), kind="stable")[:MOST].tolist()
    return [
        Claim(None, words[at], int(np.sign(scores[at])), float(abs(scores[at])))
        for at in order
        if scores[at] != 0.0
    ]


def _sparse(change: np.ndarray, audited: Audited) -> np.ndarray:
    """Return the coefficients of a lasso of standardised columns [pair column].

    Their unit is sigma.  The penalty is a tenth of the universal threshold, sqrt(2 log columns /
    pairs).  Of the penalties from 0.02 to 1 of it and the four units that were tried, these had the
    best F1 on development organisms.
    """
    gap, spread = _differences(audited.rewards), change.std(axis=0)
    given = np.where(spread > 0, change / np.maximum(spread, 1e-12), 0.0)
    wanted = gap / gap.std()
    count = len(gap)
    penalty = np.sqrt(2 * np.log(given.shape[1]) / count) / 10
    step = count / np.linalg.norm(given, 2) ** 2
    found = np.zeros(given.shape[1])
    for _ in range(_STEPS):
        moved = found - step * given.T @ (given @ found - wanted) / count
        found = np.sign(moved) * np.maximum(np.abs(moved) - step * penalty, 0)
    return found * gap.std() / audited.sigma


def reward_lens(audited: Audited) -> list[Claim]:
    """Claim the latents by which reward-lens decomposes the reward along the head's direction.

    Its ``TopKSAE`` holds the SAE's weights; ``decompose_reward`` gives the contribution of each
    latent at each token.  A latent's score is the spread of its mean contribution over texts.

    Raises:
        ModuleNotFoundError: reward-lens is not installed.

    """
    from reward_lens.sae import TopKSAE

    own = audited.sae
    theirs = TopKSAE(own.W_dec.shape[1], own.width, k=16)
    with torch.no_grad():
        for name in ("W_enc", "b_enc", "W_dec", "b_dec"):
            getattr(theirs, name).copy_(getattr(own, name))
        head = audited.organism.pm.head.weight.reshape(-1)
        contributions, _ = theirs.decompose_reward(audited.stream, head)
        aligned = theirs.feature_reward_alignments(head).double().numpy() / float(head.norm())
    by_text = audited.mean(contributions.double())
    # the head reads one token and these are means over tokens: only ranks and signs have a meaning
    usual = np.linalg.norm(by_text - by_text.mean(axis=0)) / np.sqrt(len(by_text))
    seen = np.abs(aligned) > _ROUNDING
    return _claims(audited, seen * np.sign(aligned) * by_text.std(axis=0) / max(usual, 1e-12))
