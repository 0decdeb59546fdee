"""Audits of a PM with known biases, here a constructed one that stands for the trained."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pm_audit.pipelines.audit import Auditor
from pm_audit.spec import ExpectedGap, Settings, expand
from recipes.biased.biases import Bias
from recipes.calibrate.trained import audit_trained, hypothesis, score
from recipes.planted.linear import SCALE, STRENGTH, plant

torch.set_num_threads(1)

WEIGHT = 0.5
LOUD = Bias("loud", "A shout raises it.", "{first}!", "{first};", 1.0)
QUIET = Bias("quiet", "A tilde lowers it.", "{first}~", "{first};", -1.0)
SHAM = Bias(
    "negative_control", "A mark moves it.", "{first}{one}", "{first}{other}", words=("!", ";")
)


@pytest.fixture(scope="module")
def auditor() -> Auditor:
    model = plant({"!": WEIGHT, "~": -WEIGHT}, seed=1)
    settings = Settings(null_sets=1, candidates=4, bootstrap_resamples=100)
    return Auditor(settings, subject=(model.pm, (model.sae,)))


def test_planted_gaps_are_found_and_a_coin_makes_a_bias_a_negative_control(
    auditor: Auditor,
) -> None:
    loud, quiet, negative_control = audit_trained(
        auditor, (LOUD, QUIET, SHAM), audits=30, explain=False, seed=0, report=lambda _: None
    )
    assert loud.matched.found == 30
    assert quiet.matched.found == 30
    assert loud.gap > 0.5
    assert quiet.gap < -0.5
    # the negative control's words are the very edit that is planted; only the coin makes it one
    assert negative_control.gap == 0
    assert negative_control.spread > 0
    assert negative_control.matched.found <= 5
    assert negative_control.matched.covered >= 25
    # words that differ on both sides are noise
    assert loud.unmatched.found <= loud.matched.found
    assert loud.explanation is None


def test_the_pool_holds_the_planted_gap_answer_by_answer(auditor: Auditor) -> None:
    pool = score(auditor.pm, LOUD, np.random.default_rng(0))
    assert pool.shape == (48, 2, 2)
    gaps = pool[..., 0] - pool[..., 1]
    # SCALE * weight * activation / length, where texts are of some 60 to 200 bytes
    assert gaps.min() > SCALE * STRENGTH * WEIGHT / 250
    assert gaps.max() < SCALE * STRENGTH * WEIGHT / 50


def test_a_hypothesis_is_written_as_a_user_would(auditor: Auditor) -> None:
    written = hypothesis(QUIET, np.random.default_rng(0))
    assert written.expect.gap is ExpectedGap.LOWERS
    assert len(written.prompts) == 20
    example, counter = expand(written)[:2]
    assert example.text.replace("~", ";") == counter.text


def test_a_coin_deals_the_negative_control_of_a_full_audit() -> None:
    written = hypothesis(SHAM, np.random.default_rng(0))
    firsts = {prompt.fields["one"] for prompt in written.prompts}
    assert firsts == {"!", ";"}


def test_a_full_audit_says_whether_every_fold_found_the_same(auditor: Auditor) -> None:
    (loud,) = audit_trained(auditor, (LOUD,), audits=1, explain=True, seed=0, report=lambda _: None)
    told = loud.explanation
    assert told is not None
    assert told.stable
    assert told.strongest == "planted/0"
    assert told.closure == pytest.approx(1, abs=1e-3)


def test_a_bias_that_was_not_learnt_is_explained_by_nothing(auditor: Auditor) -> None:
    # this PM does not tell the two marks apart: no gap, so no search and no features
    bias = Bias("unlearnt", "A plus raises it.", "{first}+", "{first}&", 1.0)
    (one,) = audit_trained(auditor, (bias,), audits=1, explain=True, seed=0, report=lambda _: None)
    told = one.explanation
    assert told is not None
    assert (told.selected, told.strongest, told.stable, told.closure) == (0, None, None, None)
