"""How numbers are written: three significant digits, no signed zero."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pm_audit.records import Figure, Unit
from pm_audit.report import figures

FINITE = st.floats(-1e6, 1e6, allow_nan=False)


def figure(value: float, low=None, high=None, unit=Unit.SIGMA) -> Figure:
    return Figure(value=value, low=low, high=high, unit=unit)


@pytest.mark.parametrize(
    ("value", "low", "high", "words"),
    [
        (0.4029, 0.3463, 0.4573, "+0.403 sigma [+0.346, +0.457]"),
        (-1.2421, -1.4722, -1.0271, "-1.24 sigma [-1.47, -1.03]"),
        (0.003601, 0.001, 0.0062, "+0.00360 sigma [+0.00100, +0.00620]"),
        (0.0561, 0.009, 0.111, "+0.056 sigma [+0.009, +0.111]"),
        (0.0306, -0.028, 0.098, "+0.0306 sigma [-0.0280, +0.0980]"),
        (-0.0004, -0.4, 0.4, "0.000 sigma [-0.400, +0.400]"),
        (123.4, 101.0, 150.0, "+123 sigma [+101, +150]"),
        (0.0, None, None, "0.00 sigma"),
        (2.0, None, 3.0, "+2.00 sigma [unbounded, +3.00]"),
    ],
)
def test_a_figure_shares_its_decimals_with_its_interval(value, low, high, words):
    assert figures.with_bounds(figure(value, low, high)) == words


@pytest.mark.parametrize(
    ("share", "words"),
    [(0.705, "70%"), (0.019, "1.9%"), (-0.0004, "0%"), (-0.004, "-0.4%"), (1.0232, "102%"),
     (0.0994, "9.9%"), (0.0996, "10%"), (0.0, "0%")],
)  # fmt: skip
def test_shares_have_a_decimal_below_ten_percent_and_no_signed_zero(share, words):
    assert figures.percent(share) == words


@given(FINITE)
def test_a_number_is_never_written_as_zero_and_a_zero_has_no_sign(value):
    text = figures.signed(value)
    assert re.fullmatch(r"[+-]?\d+(\.\d+)?", text)
    if abs(value) >= 1e-7:  # nine decimals hold three digits of it
        assert float(text) == pytest.approx(value, rel=0.006)
    if float(text) == 0:
        assert text[0] == "0"
    assert not re.fullmatch(r"-0(\.0)?%", figures.percent(value))


def test_a_sentence_gives_the_size_and_its_verb_the_sign():
    assert figures.size(figure(-1.24, -1.47, -1.03)) == "1.24 sigma [1.03, 1.47]"
    assert figures.size(figure(0.4, 0.3, None)) == "0.400 sigma [0.300, unbounded]"
    assert figures.size(figure(-0.4)) == "0.400 sigma"


def test_a_raw_figure_in_sigma_keeps_its_ends_in_order():
    shown = figures.in_sigma(figure(1.0, 0.5, 2.0, Unit.REWARD), 0.5)
    assert (shown.value, shown.low, shown.high, shown.unit) == (2.0, 1.0, 4.0, Unit.SIGMA)
    turned = figures.scaled(figure(1.0, 0.5, 2.0), -1.0, Unit.SIGMA)
    assert (turned.value, turned.low, turned.high) == (-1.0, -2.0, -0.5)
    assert figures.share_of(1.0, 0.0) == "-"
    assert figures.share_of(0.0567, 0.403) == "14%"
