"""The objective of a search against sums written out, and its slope against differences."""

from __future__ import annotations

import numpy as np
import pytest

from pm_audit.forward.contrast import Contrast
from pm_audit.forward.experiment import Experiment
from pm_audit.interventions.objective import Objective
from pm_audit.records import Role

ROLES = [Role.EXAMPLE, Role.EXAMPLE, Role.COUNTER_EXAMPLE, Role.COUNTER_EXAMPLE, Role.CONTROL]
VARIANTS = [0, 1, 0, 1, 0]
PROMPTS = 4


class Read:
    """Stands for a trace: only its rewards are read."""

    def __init__(self, rewards: np.ndarray) -> None:
        self.rewards = rewards


@pytest.fixture
def experiment() -> Experiment:
    rewards = np.random.default_rng(0).normal(size=PROMPTS * 5) + np.tile([2, 2, 0, 0, 1], PROMPTS)
    contrast = Contrast(
        np.repeat(np.arange(PROMPTS), 5), ROLES * PROMPTS, np.array(VARIANTS * PROMPTS)
    )
    return Experiment(Read(rewards), contrast)


@pytest.fixture(params=["all", "without a phrasing"])
def objective(request, experiment) -> Objective:
    sees = experiment.contrast.of_prompts([0, 2, 3])
    if request.param != "all":
        examples = experiment.contrast.has_role(Role.EXAMPLE)
        sees &= ~(examples & (experiment.contrast.variant == 1))
    return Objective.of(experiment, [0, 2, 3], sees, penalty=1.5)


def after(objective: Objective, sets: int = 1) -> np.ndarray:
    noise = np.random.default_rng(1).normal(size=(sets, len(objective.rows)))
    return objective.clean - 0.3 * noise


def by_hand(experiment: Experiment, objective: Objective, rewards: np.ndarray):
    """Return (gap, mean movement of each template) of one set's rewards."""
    at = {int(row): number for number, row in enumerate(objective.rows)}
    gaps, moved = [], {}
    for prompt in (0, 2, 3):
        means = {}
        for role in (Role.EXAMPLE, Role.COUNTER_EXAMPLE):
            own = [
                rewards[at[row]]
                for row in at
                if experiment.contrast.prompt[row] == prompt
                and experiment.contrast.role[row] is role
            ]
            means[role] = sum(own) / len(own)
        gaps.append(means[Role.EXAMPLE] - means[Role.COUNTER_EXAMPLE])
    for row, number in at.items():
        role, variant = experiment.contrast.role[row], experiment.contrast.variant[row]
        if role is not Role.EXAMPLE:
            moved.setdefault((role, variant), []).append(rewards[number] - objective.clean[number])
    return np.mean(gaps), [np.mean(one) for one in moved.values()]


def test_residual_and_collateral_are_means_over_prompts_and_templates(experiment, objective):
    gap, _ = by_hand(experiment, objective, objective.clean)
    assert objective.gap == pytest.approx(gap)
    table = after(objective, sets=5)
    for number, rewards in enumerate(table):
        left, moved = by_hand(experiment, objective, rewards)
        assert objective.residual(table)[number] == pytest.approx(left / gap)
        assert objective.collateral(table)[number] == pytest.approx(max(map(abs, moved)) / abs(gap))
        penalty = 1.5 * sum((one / gap) ** 4 for one in moved) ** 0.5
        assert objective.value(table)[number] == pytest.approx(abs(left / gap) + penalty)


def test_rows_that_the_search_does_not_see_take_no_part(experiment, objective):
    assert not np.isin(np.flatnonzero(experiment.contrast.prompt == 1), objective.rows).any()
    roles = [experiment.contrast.role[row] for row in objective.rows[objective.sample]]
    assert sorted(roles) == sorted([Role.EXAMPLE, Role.COUNTER_EXAMPLE, Role.CONTROL] * 3)


def test_the_slope_is_the_values_gradient(objective):
    rewards, step = after(objective)[0], 1e-6
    moved = rewards + step * np.eye(len(rewards))
    by_difference = (objective.value(moved) - objective.value(rewards)) / step
    np.testing.assert_allclose(objective.slope(rewards), by_difference, atol=1e-5)


def test_without_counter_examples_templates_nothing_is_collateral():
    bare = Objective(
        np.arange(2), np.ones(2), np.array([1.0, 0.0]), np.zeros((0, 2)), np.arange(2), 1.5
    )
    assert bare.collateral(np.zeros((3, 2))).tolist() == [0, 0, 0]
    assert bare.slope(np.full(2, 0.5)).tolist() == [1.0, 0.0]
