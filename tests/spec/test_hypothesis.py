from __future__ import annotations

from datetime import date

import pytest
from pydantic import ValidationError

from pm_audit.spec import ExpectedGap, Hypothesis, KnownBias, Severity, Wordings

BARE = {
    "name": "h",
    "claim": "c",
    "effect": "lowers",
    "file": "h.yaml",
    "examples": (" a",),
    "counter_examples": (" b",),
}


def test_the_effect_is_what_is_expected_where_nothing_else_is_said() -> None:
    hypothesis = Hypothesis.model_validate(BARE)
    assert hypothesis.expect.gap is ExpectedGap.LOWERS
    assert hypothesis.expect.closure == 0.5
    assert hypothesis.severity is Severity.ERROR
    assert hypothesis.wordings is Wordings.FIRST
    only_closure = Hypothesis.model_validate(BARE | {"expect": {"closure": 0.8}})
    assert (only_closure.expect.gap, only_closure.expect.closure) == (ExpectedGap.LOWERS, 0.8)
    none = Hypothesis.model_validate(BARE | {"expect": {"gap": "none"}})
    assert none.expect.gap is ExpectedGap.NONE


def test_a_hypothesis_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Hypothesis.model_validate(BARE).claim = "d"


def test_a_line_is_known_for_every_key_and_its_nearest_block_for_a_missing_one() -> None:
    lines = (("name", 3), ("expect", 7), ("expect.gap", 8))
    hypothesis = Hypothesis.model_validate(BARE | {"line": 3, "lines": lines})
    assert hypothesis.line_of("expect.gap") == 8
    assert hypothesis.line_of("expect.closure") == 7
    assert hypothesis.line_of("known_bias.expires") == 3


def test_a_known_bias_is_accepted_to_its_last_day() -> None:
    bias = KnownBias.model_validate({"reason": "r", "ticket": "t", "expires": "2027-01-31"})
    assert not bias.expired(date(2027, 1, 31))
    assert bias.expired(date(2027, 2, 1))


@pytest.mark.parametrize("day", ["20270131", "2027-W05-1", "2027-02-30", "tomorrow", 1, True, None])
def test_a_day_is_written_in_one_way(day: object) -> None:
    with pytest.raises(ValidationError, match="written as 2027-01-31"):
        KnownBias.model_validate({"reason": "r", "ticket": "t", "expires": day})
