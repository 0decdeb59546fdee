"""The placebo: labels exchanged within each prompt, and all else as in an audit."""

from __future__ import annotations

import numpy as np
import pytest

from pm_audit.forward.contrast import Contrast
from pm_audit.interventions.ablation import ablate_sets
from pm_audit.interventions.replacements import contrast_features
from pm_audit.records import Role
from pm_audit.search.placebo import exchange, run_placebo
from pm_audit.search.propose import propose
from pm_audit.search.select import Selector
from tests.search.conftest import method

ROLES = [Role.EXAMPLE, Role.EXAMPLE, Role.COUNTER_EXAMPLE, Role.COUNTER_EXAMPLE, Role.CONTROL]
CONTRAST = Contrast(np.repeat(np.arange(8), 5), ROLES * 8, np.array([0, 1, 0, 1, 0] * 8))


def labels(contrast: Contrast, rows) -> list[tuple[Role, int]]:
    return [(contrast.role[row], int(contrast.variant[row])) for row in rows]


@pytest.mark.parametrize("seed", range(5))
def test_labels_are_dealt_out_again_within_each_prompt(seed):
    found = exchange(CONTRAST, seed=seed)
    np.testing.assert_array_equal(found.prompt, CONTRAST.prompt)
    for prompt in range(8):
        rows = np.flatnonzero(CONTRAST.prompt == prompt)
        # a label takes its phrasing with it
        assert sorted(labels(found, rows)) == sorted(labels(CONTRAST, rows))
        assert labels(found, rows[-1:]) == [(Role.CONTROL, 0)]
    assert found.role != CONTRAST.role
    assert found.role == exchange(CONTRAST, seed=seed).role != exchange(CONTRAST, seed=9).role


def test_a_contrast_without_phrasings_keeps_none():
    found = exchange(Contrast(CONTRAST.prompt, CONTRAST.role), seed=0)
    assert found.variant is None
    assert sorted(found.role) == sorted(CONTRAST.role)


def test_the_search_runs_on_the_exchanged_contrasts_own_values(planting):
    selectors = []

    def selector_of(experiment) -> Selector:
        targets = contrast_features(experiment)
        proposal = propose(experiment, targets, method=method())
        selectors.append(Selector.of(experiment, proposal, method=method(), searches=2))
        return selectors[-1]

    found = run_placebo(planting.experiment, planting.folds, selector_of, seed=3)
    (selector,) = selectors
    contrast = exchange(planting.contrast, seed=3)
    assert selector.experiment.contrast.role == contrast.role
    np.testing.assert_allclose(found.gap, contrast.gap_by_prompt(planting.trace.rewards))
    after = planting.trace.rewards.copy()
    for number, fold in enumerate(planting.folds):
        selected = selector.select(fold).selected
        assert found.selected[number] == len(selected)
        rows = planting.experiment.rows_of(fold.held_out)
        own = ablate_sets(planting.trace, [selected], targets=selector.targets)[0]
        after[rows] = own[rows]
    np.testing.assert_allclose(found.gap_after, contrast.gap_by_prompt(after), atol=1e-5)
    # a mark of the true examples alone is what some exchanged counter-examples have
    mark = np.array([planting.latent_of["!"]])
    assert (planting.targets["planted"].column(mark) < 0).all()
    assert (selector.targets["planted"].column(mark) >= 0).all()
