from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path

import pytest

from pm_audit.spec import Dtype, Settings

Faults = Callable[[Callable[[], object]], list[str]]


def test_without_sources_the_default_pm_is_audited() -> None:
    settings = Settings.merged()
    assert settings.pm == "default"
    assert settings.saes == ()
    assert (settings.folds, settings.max_features, settings.replacement) == (2, 10, "contrast")
    assert settings.record == Path("reports/record.json")


def test_the_command_line_wins_over_the_project_and_the_project_over_ini() -> None:
    settings = Settings.merged(
        cli={"pm": "from-cli", "seed": None},
        project={"pm": "from-project", "seed": 1, "dtype": "bfloat16", "saes": ["a", "b"]},
        ini={"pm": "from-ini", "seed": "2", "dtype": "float16", "candidates": "30"},
    )
    assert (settings.pm, settings.seed, settings.dtype) == ("from-cli", 1, Dtype.BFLOAT16)
    assert settings.candidates == 30
    assert settings.saes == ("a", "b")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"pm": 3}, "`pm` must be text, not the number 3"),
        ({"saes": "a"}, "`saes` must be a list of items, not 'a'"),
        ({"folds": True}, "a number is meant here, not true (`folds`)"),
        ({"folds": 1}, "`folds` must be greater than or equal to 2, not the number 1"),
        ({"candidates": "many"}, "`candidates` must be a number, not 'many'"),
        ({"extra_scores": "maybe"}, "`extra_scores` must be true or false, not 'maybe'"),
        ({"extra_scores": [1]}, "`extra_scores` must be true or false, not "),
        ({"candidates": 1.5}, "`candidates` must be a number, not the number 1.5"),
        ({"confidence": float("nan")}, "`confidence`"),
        (
            {"dtype": "int8"},
            "`dtype` must be 'float32', 'bfloat16', 'float16' or 'float64', not 'int8'",
        ),
        ({"candidate": 3}, "unknown key 'candidate'; did you mean `candidates`?"),
        ({"record": 3}, "`record`"),
        ({"text_date": "tomorrow"}, "a day is written as 2027-01-31 (`text_date`)"),
        ({"text_date": "86400"}, "a day is written as"),
        ({"text_date": 86400}, "a day is written as"),
        ({"judge_verdicts": ["Yes", "No,"]}, "a verdict is one token and holds no comma"),
        ({"judge": {"verdicts": [1, 2, 3]}}, "each verdict is text: put it in quotes"),
        ({"judge": {"rubric": "{prompt}"}}, "unknown key 'judge_rubric'"),
        ({"judge": "smollm2-135m"}, "unknown key 'judge'"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_with_its_source(
    values: dict[str, object], message: str, faults: Faults
) -> None:
    (fault,) = faults(lambda: Settings.merged(project=values))
    assert fault.startswith("pyproject.toml: ")
    assert message in fault


def test_all_faults_of_all_sources_are_reported(faults: Faults) -> None:
    given = {"cli": {"x": 1}, "python": {"y": 1}, "project": {"pm": 1}, "ini": {"seed": "-1"}}
    found = faults(lambda: Settings.merged(**given))
    assert {fault.split(":")[0] for fault in found} == {
        "command line",
        "keyword arguments",
        "pyproject.toml",
        "pytest ini options",
    }


def test_a_judges_table_is_its_settings() -> None:
    table = {"judge": {"template": "{prompt} {completion}?", "verdicts": [" Yes", " No"]}}
    found = Settings.merged(project=table)
    assert found.judge_template == "{prompt} {completion}?"
    assert found.judge_verdicts == " Yes, No"
    given = {"judge_verdicts": "1,2,3"}
    assert Settings.merged(cli=given, project=table).judge_verdicts == "1,2,3"


def test_a_day_is_a_date_of_toml_or_text() -> None:
    for day in (datetime.date(2025, 1, 2), "2025-01-02"):
        assert Settings.merged(project={"text_date": day}).text_date == datetime.date(2025, 1, 2)
