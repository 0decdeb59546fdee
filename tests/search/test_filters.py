"""Every filter drops what its name says, and each can be told from the others."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pm_audit.forward.contrast import Contrast
from pm_audit.forward.experiment import Experiment
from pm_audit.records import Feature, Role
from pm_audit.search.filters import Activity, Dropped, Filters, selectivity

# two prompts, each with an example, a counter-example and a control of four tokens
ROLES = [Role.EXAMPLE, Role.COUNTER_EXAMPLE, Role.CONTROL] * 2
CONTRAST = Contrast(np.repeat([0, 1], 3), ROLES)
ROW_OF_TOKEN = np.repeat(np.arange(6), 4)
EXAMPLES, COUNTERS, CONTROLS = (
    [row for row, role in enumerate(ROLES) if role is wanted]
    for wanted in (Role.EXAMPLE, Role.COUNTER_EXAMPLE, Role.CONTROL)
)
LOUD, BUSY, BOTH, OTHER, QUIET = range(5)


def first_tokens(rows, count=1):
    return [4 * row + number for row in rows for number in range(count)]


FIRES = {
    LOUD: (first_tokens(EXAMPLES), 50.0),
    BUSY: (first_tokens(range(6), 2), 1.0),
    BOTH: (first_tokens(EXAMPLES + COUNTERS), 1.0),
    OTHER: (first_tokens(EXAMPLES + CONTROLS), 1.0),
    QUIET: (first_tokens(EXAMPLES), 1.0),
}


@pytest.fixture(scope="module")
def activity():
    token = [at for tokens, _ in FIRES.values() for at in tokens]
    latent = [latent for latent, (tokens, _) in FIRES.items() for _ in tokens]
    value = [value for tokens, value in FIRES.values() for _ in tokens]
    features = SimpleNamespace(
        token_here=np.array(token), latent_here=np.array(latent), strength=torch.tensor(value)
    )
    sae = SimpleNamespace(name="sae", width=6, W_dec=torch.eye(6))
    trace = SimpleNamespace(
        saes=(sae,), features={"sae": features}, row_of_token=lambda: ROW_OF_TOKEN
    )
    return Activity.of(Experiment(trace, CONTRAST))


def test_activity_counts_tokens_rows_and_norms(activity):
    own = activity["sae"]
    assert own.norm[LOUD] == pytest.approx(50.0)
    assert own.token_share[[BUSY, BOTH, QUIET]] == pytest.approx([12 / 24, 4 / 24, 2 / 24])
    assert own.counter_example_share == pytest.approx([0.0, 1.0, 1.0, 0.0, 0.0, 0.0])


@pytest.mark.parametrize(
    ("latent", "kind"),
    [
        (LOUD, Dropped.OUTLIER),
        (BUSY, Dropped.EVERYWHERE),
        (BOTH, Dropped.COUNTER_EXAMPLES),
        (OTHER, Dropped.UNSELECTIVE),
    ],
)
def test_an_unselective_feature_is_dropped_under_the_name_of_its_kind(activity, latent, kind):
    filters = Filters(CONTRAST, np.ones(6, dtype=bool), frozenset(), 0.8, activity)
    feature = Feature(sae="sae", layer=0, index=latent)
    assert filters.reason(feature, 1.0, np.ones(6)) is kind
    # the same feature with selectivity stays, whatever its kind
    on_examples = np.isin(np.arange(6), EXAMPLES).astype(float)
    assert filters.reason(feature, 1.0, on_examples) is None


def test_rare_comes_before_idle_and_idle_before_selectivity(activity):
    feature = Feature(sae="sae", layer=0, index=QUIET)
    rows = np.ones(6, dtype=bool)
    rare = Filters(CONTRAST, rows, frozenset([feature]), 0.8, activity)
    assert rare.reason(feature, -1.0, np.ones(6)) is Dropped.RARE
    frequent = Filters(CONTRAST, rows, frozenset(), 0.8, activity)
    assert frequent.reason(feature, 0.0, np.ones(6)) is Dropped.IDLE
    assert frequent.reason(feature, float("nan"), np.ones(6)) is Dropped.IDLE


def test_what_was_not_run_on_every_row_is_not_selected(activity):
    filters = Filters(CONTRAST, np.ones(6, dtype=bool), frozenset(), 0.8, activity)
    feature = Feature(sae="sae", layer=0, index=QUIET)
    sampled = np.array([2.0, 0.0, np.nan, np.nan, np.nan, np.nan])
    assert filters.reason(feature, 1.0, sampled) is None
    assert filters.verdict(feature, 1.0, sampled, slack=0.1) is Dropped.WEAKER
    assert filters.verdict(feature, 1.0, np.nan_to_num(sampled), slack=0.1) is None
    assert filters.verdict(feature, -1.0, sampled, slack=0.1) is Dropped.IDLE
    # three quarters pass with slack alone: cut off for its strength, not for its selectivity
    doubtful = np.array([3.0, -1.5, np.nan, np.nan, np.nan, np.nan])
    assert filters.reason(feature, 1.0, doubtful, slack=0.0) is None
    tight = Filters(CONTRAST, np.ones(6, dtype=bool), frozenset(), 0.85, activity)
    assert tight.reason(feature, 1.0, doubtful) is Dropped.UNSELECTIVE
    assert tight.verdict(feature, 1.0, doubtful, slack=0.1) is Dropped.WEAKER


def test_rows_that_were_run_stand_for_their_role_and_a_role_not_run_for_nothing():
    rows = np.ones(6, dtype=bool)
    # example 3 of one prompt, counter-example 1 of the other, no control: 3 / (3 + 1 / 2)
    assert selectivity(
        np.array([3.0, np.nan, np.nan, np.nan, -1.0, np.nan]), CONTRAST, rows
    ) == pytest.approx(6 / 7)


def test_selectivity_counts_controls_as_elsewhere():
    rows = np.ones(6, dtype=bool)
    contribution = np.zeros(6)
    contribution[EXAMPLES] = 3.0
    contribution[CONTROLS] = -2.0
    # elsewhere is the mean over counter-examples and controls: 1
    assert selectivity(contribution, CONTRAST, rows) == pytest.approx(0.75)
    assert selectivity(np.zeros(6), CONTRAST, rows) == 0.0
