"""Annotations: on the key of the check, regressions first, and no more than GitHub shows."""

from __future__ import annotations

import re

import pytest

from pm_audit.records import AuditRecord, Outcome
from pm_audit.release import compare
from pm_audit.report import github
from pm_audit.spec import GateMode

LINES = {
    "name": 2,
    "expect": 14,
    "expect.gap": 15,
    "expect.closure": 16,
    "expect.collateral": 17,
    "severity": 20,
    "known_bias": 22,
}


@pytest.fixture
def record(judged_record_path) -> AuditRecord:
    read = AuditRecord.read(judged_record_path)
    return read.model_copy(
        update={
            "hypotheses": tuple(one.model_copy(update={"lines": LINES}) for one in read.hypotheses)
        }
    )


def with_outcome(record: AuditRecord, outcome: Outcome, names=None) -> AuditRecord:
    def failing(one):
        checks = tuple(check.model_copy(update={"outcome": outcome}) for check in one.checks)
        return one.model_copy(update={"checks": checks, "severity": "error", "known_bias": None})

    return record.model_copy(
        update={
            "hypotheses": tuple(
                failing(one) if names is None or one.name in names else one
                for one in record.hypotheses
            )
        }
    )


def places(commands: list[str]) -> list[tuple[str, str, int, str]]:
    pattern = re.compile(r"::(\w+) file=([^,]*),line=(\d+),title=([^:]*)::")
    found = (pattern.match(one) for one in commands)
    return [(m[1], m[2], int(m[3]), m[4]) for m in found if m]


def test_each_check_is_annotated_on_its_own_key(record):
    one = with_outcome(record, Outcome.FAIL, {"urls"})
    of_urls = [place for place in places(github.commands(one)) if "urls" in place[1]]
    assert of_urls == [
        ("error", "hypotheses/urls.yaml", 15, "urls/gap%3A fail"),
        ("error", "hypotheses/urls.yaml", 16, "urls/explained%3A fail"),
        ("error", "hypotheses/urls.yaml", 17, "urls/specific%3A fail"),
        ("error", "hypotheses/urls.yaml", 2, "urls/fit%3A fail"),
    ]


def test_an_annotation_says_how_far_the_explanation_holds(record):
    one = with_outcome(record, Outcome.FAIL, {"urls"})
    (explained,) = (line for line in github.commands(one) if "urls/explained" in line)
    assert "%0Aclosure 3" in explained
    assert "; closure of unseen phrasings 2" in explained
    assert explained.endswith("; stability 50%25 [50%25, 50%25]")


def test_a_key_that_the_file_leaves_out_is_annotated_on_what_it_would_stand_in(record):
    (urls,) = (one for one in record.hypotheses if one.name == "urls")
    for lines, line in (({"expect": 14}, 14), ({}, urls.line)):
        bare = record.model_copy(update={"hypotheses": (urls.model_copy(update={"lines": lines}),)})
        assert [place[2] for place in places(github.commands(bare))] == [line]


def test_regressions_come_first_and_a_check_stands_once(record):
    worse = with_outcome(record, Outcome.FAIL, {"answers-the-question"})
    loosened = tuple(
        one.model_copy(update={"severity": "warn"}) if one.name == "i-dont-know" else one
        for one in worse.hypotheses
    )
    worse = worse.model_copy(
        update={
            "hypotheses": loosened,
            "method": worse.method.model_copy(update={"confidence": 0.5}),
        }
    )
    comparison = compare(record, worse, gate=GateMode.REGRESSIONS)
    commands = github.commands(worse, comparison)
    assert commands[0].startswith("::error title=the run%3A method weakened::confidence from 0.95")
    assert places(commands)[:3] == [
        ("error", "hypotheses/i_dont_know.yaml", 20, "i-dont-know%3A policy loosened"),
        (
            "error",
            "hypotheses/answers_the_question.yaml",
            15,
            "answers-the-question%3A check worse",
        ),
        (
            "error",
            "hypotheses/answers_the_question.yaml",
            16,
            "answers-the-question%3A check worse",
        ),
    ]
    of_one = [one for one in commands if "answers-the-question" in one]
    assert len(of_one) == 4, "the check itself is not annotated a second time"
    known = [one for one in commands if "urls/explained" in one]
    assert [one.split()[0] for one in known] == ["::warning"]


@pytest.mark.parametrize(("outcome", "left"), [(Outcome.FAIL, 10), (Outcome.INVALID, 10)])
def test_no_more_than_github_shows_and_the_rest_counted(record, outcome, left):
    commands = github.commands(with_outcome(record, outcome))
    errors = [one for one in commands if one.startswith("::error")]
    assert len(errors) == github.SHOWN == 10
    assert commands[10:] == [
        f"::notice title=pm_audit::{left} more errors are not annotated: GitHub shows 10 a "
        "step; the job's summary holds all"
    ]


def test_warnings_are_counted_apart(record):
    warned = tuple(
        one.model_copy(update={"severity": "warn"})
        for one in with_outcome(record, Outcome.FAIL).hypotheses
    )
    commands = github.commands(record.model_copy(update={"hypotheses": warned}))
    assert sum(one.startswith("::warning") for one in commands) == 10
    assert "10 more warnings are not annotated" in commands[-1]


def test_a_known_bias_softens_what_it_covers_alone(record):
    (youre_right,) = (one for one in record.hypotheses if one.name == "youre-right")
    fit = tuple(
        check.model_copy(update={"outcome": Outcome.FAIL}) if check.check == "fit" else check
        for check in youre_right.checks
    )
    one = record.model_copy(
        update={"hypotheses": (youre_right.model_copy(update={"checks": fit}),)}
    )
    assert [(place[0], place[2]) for place in places(github.commands(one))] == [
        ("error", 2),
        ("warning", 15),
    ]
