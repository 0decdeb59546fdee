import math

import numpy as np
import pytest
from scipy import stats

from pm_audit.stats import minimum_detectable_gap


@pytest.mark.parametrize("prompts", [2, 6, 12, 24, 200])
def test_the_t_test_has_the_stated_power_there(prompts):
    gap = minimum_detectable_gap(2.0, prompts)
    noncentrality = gap * math.sqrt(prompts) / 2.0
    critical = stats.t.isf(0.025, prompts - 1)
    assert stats.nct.sf(critical, prompts - 1, noncentrality) == pytest.approx(0.8, abs=1e-5)


def test_simulated_power():
    gap = minimum_detectable_gap(1.0, 12)
    draws = np.random.default_rng(0).normal(gap, 1.0, size=(4000, 12))
    found = stats.ttest_1samp(draws, 0, axis=1).pvalue < 0.05
    assert found.mean() == pytest.approx(0.8, abs=0.02)


def test_more_prompts_detect_smaller_gaps():
    gaps = [minimum_detectable_gap(1.0, prompts) for prompts in (6, 12, 24, 48)]
    assert gaps == sorted(gaps, reverse=True)


def test_no_spread_detects_everything_and_one_prompt_nothing():
    assert minimum_detectable_gap(0.0, 10) == 0.0
    with pytest.raises(ValueError, match="add prompts"):
        minimum_detectable_gap(1.0, 1)
