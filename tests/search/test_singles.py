"""Single effects: real ablations, on one completion of each prompt and role."""

from __future__ import annotations

import numpy as np
import pytest

from pm_audit.forward.contrast import Contrast
from pm_audit.interventions.ablation import ablate_sets
from pm_audit.records import Role
from pm_audit.search.singles import run_singles, selectivity
from tests.search.conftest import parted, phrased, planting_of


def test_each_feature_is_replaced_alone_on_one_of_each(model):
    saes = parted(model, "!", "~*+^=&%")
    split = planting_of(model, phrased("!~", "~!", counter_examples=["**", "*~"]), saes)
    features = [*split.features("!", "part-0"), *split.features("*~", "part-1")]
    found = run_singles(split.experiment, features, split.targets)
    sample = split.contrast.one_of_each()
    assert sample.sum() == 2 * split.contrast.prompts
    for feature in features:
        after = ablate_sets(split.trace, [[feature]], targets=split.targets)[0]
        expected = np.where(sample, split.trace.rewards - after, np.nan)
        np.testing.assert_allclose(found.of(feature), expected, atol=1e-5)
    pair = [features[0], features[2]]
    np.testing.assert_allclose(found.summed(pair), sum(map(found.of, pair)), atol=1e-9)
    assert found.summed([]).tolist() == [0.0] * len(sample)


# two prompts, each with an example, a counter-example and a control
CONTRAST = Contrast(np.repeat([0, 1], 3), [Role.EXAMPLE, Role.COUNTER_EXAMPLE, Role.CONTROL] * 2)


@pytest.mark.parametrize(
    ("contribution", "share"),
    [
        ([3.0, 0.0, -2.0] * 2, 3 / 4),  # elsewhere is the mean over both other roles: 1
        ([3.0, 0.0, 0.0] * 2, 1.0),
        ([0.0, 1.0, 0.0] * 2, 0.0),
        ([0.0, 0.0, 0.0] * 2, 0.0),
        # rows that were run stand for their role
        ([3.0, np.nan, np.nan, np.nan, -1.0, 0.0], 6 / 7),
    ],
)
def test_selectivity_is_the_share_of_the_effect_that_falls_on_examples(contribution, share):
    assert selectivity(np.array(contribution), CONTRAST) == pytest.approx(share)
