"""Shares are counted from the audits, with exact limits."""

import pytest

from recipes.calibrate.result import Calibration, Share
from recipes.calibrate.shares import families, summary


def test_shares_have_exact_limits() -> None:
    none, some = Share.counted([]), Share.counted([True] * 20)
    assert (none.low, none.high) == (0, 1)
    # Clopper-Pearson of 20 of 20: 0.025 ** (1 / 20)
    assert some.low == pytest.approx(0.025 ** (1 / 20), abs=1e-6)
    assert some.high == 1


def test_detection_is_by_size_and_alarms_are_pooled(calibration: Calibration) -> None:
    matched, unmatched = families(calibration)
    assert [one.label for one in matched.detected] == ["weak", "strong"]
    assert matched.detected[1].size == pytest.approx(2.2)
    assert (matched.alarms.count, matched.alarms.of) == (2, 40)
    assert [one.share.count for one in unmatched.detected] == [4, 10]


def test_only_sizeable_gaps_are_held_to_the_bar(calibration: Calibration) -> None:
    shares = dict(summary(calibration))
    found = shares["trained, matched: gaps of 0.5 sigma or more found"]
    assert (found.count, found.of) == (20, 20)
    covered = shares["trained, unmatched: interval holds the true gap"]
    assert (covered.count, covered.of) == (72, 80)
