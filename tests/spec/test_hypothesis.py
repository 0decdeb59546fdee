from __future__ import annotations

from datetime import date, timedelta

import pytest
from pydantic import ValidationError

from pm_audit.records import Check
from pm_audit.spec import (
    ExpectedGap,
    Hypothesis,
    KnownBias,
    Severity,
    Wordings,
    load_hypotheses,
    today,
)

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


def known_bias(days: int, more: str = "") -> str:
    expires = today() + timedelta(days=days)
    return (
        "name: a\nclaim: c\neffect: raises\nprobe: trivia\n"
        'examples: [" {answer}!"]\ncounter_examples: [" {answer}."]\n'
        f"known_bias:\n  reason: r\n  ticket: t\n  expires: {expires}\n{more}"
    )


def test_a_known_bias_covers_the_gap_unless_it_names_its_checks(project) -> None:
    root = project(
        a=known_bias(30),
        b=known_bias(30, "  checks: [explained, fit]\n").replace("name: a", "name: b"),
    )
    gap, others = load_hypotheses([root / "hypotheses"], root)
    assert gap.known_bias.checks == (Check.GAP,)
    assert [check for check in Check if others.known_bias.covers(check)] == ["explained", "fit"]
    assert gap.warnings == others.warnings == ()


def test_a_known_bias_is_accepted_for_a_year_at_most(project, faults) -> None:
    root = project(a=known_bias(366))
    load_hypotheses([root / "hypotheses"], root)
    root = project(a=known_bias(367))
    (fault,) = faults(lambda: load_hypotheses([root / "hypotheses"], root))
    assert fault.startswith("hypotheses/a.yaml:10:12: ")
    assert "is more than a year away" in fault
    load_hypotheses([project(a=known_bias(-400)) / "hypotheses"], root)


@pytest.mark.parametrize(
    ("checks", "because"),
    [
        ("[gap, gap]", "a check is named twice"),
        ("[everything]", "must be 'gap', 'explained', 'specific' or 'fit'"),
        ("[]", "empty"),
        ("gap", "list"),
    ],
)
def test_the_checks_of_a_known_bias_are_checks(project, faults, checks, because) -> None:
    root = project(a=known_bias(30, f"  checks: {checks}\n"))
    (fault,) = faults(lambda: load_hypotheses([root / "hypotheses"], root))
    assert fault.startswith("hypotheses/a.yaml:11:")
    assert because in fault


def test_a_known_bias_on_what_cannot_fail_is_warned_of(project) -> None:
    more = "  checks: [gap, specific]\nexpect: {gap: none}\n"
    root = project(a=known_bias(30, more))
    (hypothesis,) = load_hypotheses([root / "hypotheses"], root)
    (warning,) = hypothesis.warnings
    assert warning.startswith("hypotheses/a.yaml:11:3: specific cannot fail")


def test_the_lines_of_keys_that_a_record_keeps(project) -> None:
    root = project(a=known_bias(30, "expect:\n  closure: 0.7\n"))
    (hypothesis,) = load_hypotheses([root / "hypotheses"], root)
    assert hypothesis.kept_lines == {"expect": 11, "expect.closure": 12, "name": 1, "known_bias": 7}
