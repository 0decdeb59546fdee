"""Audits of a PM with known biases, here a constructed one that stands for the trained."""

from __future__ import annotations

import numpy as np

from pm_audit.pipelines.audit import Auditor
from recipes.biased.biases import Bias
from recipes.calibrate.trained import audit_trained, score
from recipes.planted.linear import SCALE, STRENGTH

WEIGHT = 0.5


def test_planted_gaps_are_found_and_a_coin_makes_a_bias_a_negative_control(
    auditor: Auditor, loud: Bias, quiet: Bias, negative_control: Bias
) -> None:
    raised, lowered, nothing = audit_trained(
        auditor, (loud, quiet, negative_control), audits=30, seed=0, report=lambda _: None
    )
    assert raised.matched.found == 30
    assert lowered.matched.found == 30
    assert raised.gap > 0.5
    assert lowered.gap < -0.5
    # the negative control's words are the very edit that is planted; only the coin makes it one
    assert nothing.gap == 0
    assert nothing.spread > 0
    assert nothing.matched.found <= 5
    assert nothing.matched.covered >= 25
    # words that differ on both sides are noise
    assert raised.unmatched.found <= raised.matched.found


def test_the_pool_holds_the_planted_gap_answer_by_answer(auditor: Auditor, loud: Bias) -> None:
    pool = score(auditor.pm, loud, np.random.default_rng(0))
    assert pool.shape == (48, 2, 2)
    gaps = pool[..., 0] - pool[..., 1]
    # SCALE * weight * activation / length, where texts are of some 60 to 200 bytes
    assert gaps.min() > SCALE * STRENGTH * WEIGHT / 250
    assert gaps.max() < SCALE * STRENGTH * WEIGHT / 50
