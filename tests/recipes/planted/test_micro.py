from __future__ import annotations

import numpy as np
import pytest
import torch

from pm_audit.forward.contrast import Contrast
from pm_audit.forward.experiment import Experiment
from pm_audit.forward.grid import Grid, Row
from pm_audit.forward.trace import Trace, trace
from pm_audit.interventions.replacements import contrast_features
from pm_audit.records import Role
from pm_audit.search import Selector, propose, run_singles, split
from pm_audit.search import test_sets as run_sets
from pm_audit.spec import Settings, method_of
from recipes.planted.linear import Planted
from recipes.planted.micro import LENGTH, micro

torch.set_num_threads(1)

# Four prompts of two tokens, completions of six: rewards on paper, in the module's formula.
PROMPTS = ("xx", "yy", "zz", "xy")
ROWS = (
    (Role.EXAMPLE, "abxxxx", 1.5),
    (Role.EXAMPLE, "xxabxx", 1.5),
    (Role.COUNTER_EXAMPLE, "xxxxxx", 0.0),
    (Role.CONTROL, "xxxxxc", 1.0),
)
METHOD = method_of(Settings(null_sets=1, candidates=8), quadrature="midpoint")


@pytest.fixture(scope="module")
def model() -> Planted:
    return micro()


@pytest.fixture(scope="module")
def read(model: Planted) -> tuple[Trace, Contrast]:
    rows, roles, prompts = [], [], []
    for number, prompt in enumerate(PROMPTS):
        for role, completion, _ in ROWS:
            ids = model.pm.tokenizer(prompt + completion, add_special_tokens=False).input_ids
            assert len(ids) == LENGTH
            rows.append(Row(number, tuple(ids), len(prompt)))
            roles.append(role)
            prompts.append(number)
    return trace(model.pm, (model.sae,), Grid(tuple(rows))), Contrast(np.array(prompts), roles)


def test_rewards_are_those_on_paper(read: tuple[Trace, Contrast]) -> None:
    clean, _ = read
    on_paper = [reward for _ in PROMPTS for _, _, reward in ROWS]
    np.testing.assert_allclose(clean.rewards, on_paper, atol=1e-6)


@pytest.fixture(scope="module")
def selector(read: tuple[Trace, Contrast]) -> Selector:
    experiment = Experiment(*read)
    proposal = propose(experiment, contrast_features(experiment), method=METHOD)
    return Selector.of(experiment, proposal, method=METHOD, searches=2)


def test_the_pipeline_finds_what_is_on_paper(
    read: tuple[Trace, Contrast], selector: Selector
) -> None:
    clean, contrast = read
    folds = split([1.5] * len(PROMPTS), 2, seed=0)
    searches = [selector.select(fold) for fold in folds]
    for one in searches:
        # one of the two closes 0.5 of 1.5, both together all of it
        assert {feature.index for feature in one.selected} == {0, 1}
        assert one.growth.closures == pytest.approx((1 / 3, 1.0), abs=1e-6)
        assert one.growth.collaterals == (0.0, 0.0)
    held_out = run_sets(
        selector.experiment, searches, selector.targets, selector.cache, method=METHOD
    )
    examples = contrast.has_role(Role.EXAMPLE)
    np.testing.assert_allclose(held_out.ablated[examples], 0.0, atol=1e-6)
    np.testing.assert_allclose(held_out.ablated[~examples], clean.rewards[~examples], atol=1e-6)
    # each alone is worth 0.5, both together 1.5: the interaction is 0.5
    singles = run_singles(selector.experiment, searches[0].selected, selector.targets)
    sample = examples & contrast.one_of_each()
    np.testing.assert_allclose(singles.summed(searches[0].selected)[sample], 1.0, atol=1e-6)
