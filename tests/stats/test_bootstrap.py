import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pm_audit.stats import Interval, PromptBootstrap, mean_of, ratio_of

values = st.lists(st.floats(min_value=-10, max_value=10), min_size=3, max_size=20).map(np.array)


def bootstrap_of(prompts, *, seed=0, resamples=2000):
    return PromptBootstrap(prompts, resamples=resamples, confidence=0.95, seed=seed)


def test_a_normal_sample_is_close_to_students_t():
    data = np.random.default_rng(0).normal(size=40)
    ours = bootstrap_of(40, resamples=20_000).mean(data)
    student = stats.ttest_1samp(data, 0).confidence_interval(0.95)
    assert ours.value == pytest.approx(data.mean())
    assert student.low - 0.05 < ours.low <= student.low + 1e-12
    assert student.high - 1e-12 <= ours.high < student.high + 0.05


def test_skewness_reaches_further_on_the_long_side():
    data = np.random.default_rng(3).exponential(size=24) ** 2
    interval = bootstrap_of(24).mean(data)
    assert interval.high - interval.value > 1.2 * (interval.value - interval.low)


def test_equal_seeds_agree_and_other_seeds_nearly_do():
    data = np.random.default_rng(1).normal(size=15)
    assert bootstrap_of(15).mean(data) == bootstrap_of(15).mean(data)
    one = bootstrap_of(15, seed=1, resamples=20_000).mean(data)
    other = bootstrap_of(15, seed=2, resamples=20_000).mean(data)
    assert one.low == pytest.approx(other.low, abs=0.03)


def test_numerator_and_denominator_are_resampled_together():
    gap = np.random.default_rng(2).exponential(size=12) + 0.1
    ratio = bootstrap_of(12).ratio(0.25 * gap, gap)
    assert ratio.value == pytest.approx(0.25)
    assert ratio.low == pytest.approx(0.25)
    assert ratio.high == pytest.approx(0.25)


def test_the_sign_of_the_gap_does_not_matter_to_a_ratio():
    generator = np.random.default_rng(2)
    gap = generator.normal(1, 0.3, size=12)
    left = generator.normal(0.4, 0.2, size=12)
    assert bootstrap_of(12).ratio(left, gap) == bootstrap_of(12).ratio(-left, -gap)


def test_a_denominator_that_may_be_zero_sets_no_bound():
    generator = np.random.default_rng(2)
    gap = generator.normal(0.1, 1.0, size=12)
    interval = bootstrap_of(12).ratio(np.ones(12), gap)
    assert interval.low == -math.inf or interval.high == math.inf


def test_one_prompt_sets_no_bound():
    assert bootstrap_of(1).mean(np.array([2.0])) == Interval(2.0, -math.inf, math.inf)


def test_equal_values_are_a_point():
    interval = bootstrap_of(9).mean(np.full(9, 0.1))
    assert interval == Interval(interval.value, interval.value, interval.value)


def test_a_value_that_one_prompt_alone_defines_has_no_bound():
    present = np.array([1.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    interval = bootstrap_of(6).ratio(3 * present, present)
    assert interval == Interval(3.0, -math.inf, math.inf)


def test_thousands_of_prompts_are_drawn_in_blocks():
    data = np.random.default_rng(0).normal(size=6000)
    interval = bootstrap_of(6000, resamples=1000).mean(data)
    student = stats.ttest_1samp(data, 0).confidence_interval(0.95)
    assert interval.low == pytest.approx(student.low, abs=0.01)


@pytest.mark.parametrize(
    "settings", [{"prompts": 0}, {"resamples": 10}, {"confidence": 1.0}, {"confidence": 0.0}]
)
def test_settings_that_make_no_interval_are_refused(settings):
    asked = {"prompts": 5, "resamples": 1000, "confidence": 0.95, "seed": 0} | settings
    prompts = asked.pop("prompts")
    with pytest.raises(ValueError, match="cannot resample"):
        PromptBootstrap(prompts, **asked)


@given(data=values, shift=st.floats(min_value=-5, max_value=5))
def test_an_interval_holds_its_estimate_and_moves_with_the_data(data, shift):
    bootstrap = bootstrap_of(len(data), resamples=500)
    interval = bootstrap.mean(data)
    assert interval.low <= interval.value <= interval.high
    moved = bootstrap.mean(data + shift)
    assert moved.value == pytest.approx(interval.value + shift, abs=1e-9)
    assert moved.low == pytest.approx(interval.low + shift, abs=1e-6 + 0.1 * np.ptp(data))


@given(data=values, factor=st.sampled_from([0.25, 2.0, 64.0]))
def test_an_interval_scales_with_the_data(data, factor):
    bootstrap = bootstrap_of(len(data), resamples=500)
    one, scaled = bootstrap.mean(data), bootstrap.mean(factor * data)
    assert scaled.low == pytest.approx(one.scaled(factor).low, rel=1e-9, abs=1e-9)
    assert scaled.high == pytest.approx(one.scaled(factor).high, rel=1e-9, abs=1e-9)


@given(data=values)
def test_more_confidence_is_never_narrower(data):
    widths = []
    for confidence in (0.8, 0.95, 0.99):
        interval = PromptBootstrap(len(data), resamples=2000, confidence=confidence, seed=0).mean(
            data
        )
        widths.append(interval.high - interval.low)
    assert widths == sorted(widths)


def test_interval_arithmetic():
    interval = Interval(0.6, 0.4, 0.9)
    flipped = interval.scaled(-2)
    assert (flipped.value, flipped.low, flipped.high) == (-1.2, -1.8, -0.8)
    rest = interval.one_minus()
    assert (rest.value, rest.low, rest.high) == pytest.approx((0.4, 0.1, 0.6))
    assert interval.excludes(0.3)
    assert not interval.excludes(0.5)
    assert interval.within(0.3, 1.0)
    assert not interval.within(0.4, 1.0)
    assert interval.outside(-1.0, 0.3)
    assert not interval.outside(-1.0, 0.5)
    unknown = Interval(math.nan, math.nan, math.nan)
    assert not unknown.excludes(0.0)
    assert not unknown.within(-1, 1)
    assert not unknown.outside(-1, 1)


def test_statistics_read_their_columns():
    means = np.array([[2.0, 4.0], [3.0, 0.0], [1.0, -1.0]])
    assert mean_of(1)(means).tolist() == [4.0, 0.0, -1.0]
    ratio = ratio_of(0, 1)(means)
    assert ratio[0] == 0.5
    assert np.isnan(ratio[1:]).all()


@pytest.mark.parametrize("skewed", [False, True])
def test_coverage_is_near_nominal_for_twelve_prompts(skewed):
    generator = np.random.default_rng(11)
    bootstrap = bootstrap_of(12, resamples=1000)
    held = 0
    audits = 1000
    for _ in range(audits):
        data = generator.gamma(2.0, size=12) - 2.0 if skewed else generator.normal(size=12)
        interval = bootstrap.mean(data)
        held += interval.low <= 0 <= interval.high
    assert 0.93 <= held / audits <= 0.985


def test_an_interval_takes_milliseconds():
    data = np.random.default_rng(0).normal(size=(32, 2)) + 2
    bootstrap = bootstrap_of(32, resamples=10_000)
    started = time.process_time()
    for _ in range(20):
        bootstrap.ratio(data[:, 0], data[:, 1])
    assert (time.process_time() - started) / 20 < 0.05
