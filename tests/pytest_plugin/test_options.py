"""Every setting as an option, an ini option and a key of pyproject.toml."""

from __future__ import annotations

import shlex

import pytest

from pm_audit.pipelines.project import read_settings
from pm_audit.pytest_plugin.command_line import command
from pm_audit.pytest_plugin.plugin import settings_given
from pm_audit.settings_table import SETTINGS
from pm_audit.spec import Settings

OTHER = Settings(
    pm="p",
    saes=("a", "b=c"),
    text_format="hh",
    text_end="eos",
    text_start="bos",
    text_date="2025-01-02",
    judge_template="Q: {prompt} A: {completion} Good:",
    judge_verdicts="Yes,No",
    repair="fixed",
    objective="a=0.5,b=0.5",
    dtype="bfloat16",
    device="cuda:1",
    prompts=8,
    searched_prompts=24,
    folds=3,
    candidates=9,
    search="budget",
    budget_count=7,
    budget_seconds=1.5,
    extra_scores=True,
    max_features=4,
    replacement="zero",
    set_search="mask",
    collateral_penalty=0.25,
    ig_steps=2,
    null_sets=6,
    sae_baselines=True,
    placebos=1,
    bootstrap_resamples=150,
    confidence=0.9,
    seed=5,
    hypotheses="h",
    probes="q",
    labels="l.yaml",
    label_command="python name.py",
    label_seconds=9.5,
    record="r.json",
    baseline="b.json",
    gate="regressions",
)
"""Settings none of which has its default."""


def words(values: dict[str, object]) -> list[str]:
    found: list[str] = []
    for setting in SETTINGS:
        value, option = values[setting.name], f"--pm-audit-{setting.option}"
        if setting.kind == "flag":
            found.append(option if value else option.replace("--", "--no-", 1))
        else:
            found += [f"{option}={one}" for one in (value if isinstance(value, list) else [value])]
    return found


@pytest.fixture
def read(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "pm_audit.pytest_plugin.plugin")

    def run(*arguments: str) -> Settings:
        config = pytester.parseconfig(*arguments)
        given = settings_given(config)
        return read_settings(config.rootpath, **given)

    return run


def test_every_setting_differs_from_its_default_here():
    default = Settings()
    assert [n for n in Settings.model_fields if getattr(OTHER, n) == getattr(default, n)] == []


def test_every_setting_is_read_from_the_command_line(read):
    assert read(*words(OTHER.model_dump(mode="json"))) == OTHER


@pytest.mark.parametrize("file", ["tox.ini", "pyproject.toml"])
def test_every_setting_is_read_from_ini_options(read, pytester, file):
    values = OTHER.model_dump(mode="json")
    if file == "tox.ini":
        values["saes"] = "\n  a\n  b=c"
        lines = "".join(f"pm_audit_{name} = {value}\n" for name, value in values.items())
        pytester.makeini(f"[pytest]\n{lines}")
    else:
        pytester.makepyprojecttoml(f"[tool.pytest.ini_options]\n{toml(values, 'pm_audit_')}")
    assert read() == OTHER


def test_every_setting_is_a_key_of_pyproject(read, pytester):
    pytester.makepyprojecttoml(f"[tool.pm_audit]\n{toml(OTHER.model_dump(mode='json'))}")
    assert read() == OTHER


def toml(values: dict[str, object], prefix: str = "") -> str:
    written = {
        name: str(value).lower() if isinstance(value, bool) else repr(value)
        for name, value in values.items()
    }
    return "".join(f"{prefix}{name} = {value}\n" for name, value in written.items())


def test_a_flag_on_the_command_line_can_turn_off_what_the_project_turns_on(read, pytester):
    pytester.makepyprojecttoml("[tool.pm_audit]\nsae_baselines = true\n")
    assert read().sae_baselines
    assert not read("--no-pm-audit-sae-baselines").sae_baselines


def test_options_of_one_beginning_are_told_apart(read):
    chosen = read("--pm-audit-baseline=b.json", "--pm-audit-sae=s", "--pm-audit-sae-baselines")
    assert (str(chosen.baseline), chosen.saes, chosen.sae_baselines) == ("b.json", ("s",), True)


def test_the_help_lists_every_option(pytester, monkeypatch):
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "pm_audit.pytest_plugin.plugin")
    shown = pytester.runpytest("--help").stdout.str()
    for setting in SETTINGS:
        assert f"  --pm-audit-{setting.option}" in shown
        assert f"  pm_audit_{setting.name} (" in shown


@pytest.mark.parametrize("option", ["--pm-audit-see", "--pm-audit-base=b", "--pm-audit-set=seed=1"])
def test_an_option_that_is_none_is_refused(pytester, monkeypatch, option):
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "pm_audit.pytest_plugin.plugin")
    result = pytester.runpytest(option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*unrecognized arguments: {option}"])


def test_the_command_that_judges_a_check_again_gives_the_same_settings(read):
    values = OTHER.model_dump(mode="json")
    line = command(values, file="h.yaml", node="")
    program, *arguments = shlex.split(line)
    assert (program, arguments[-1]) == ("pytest", "h.yaml")
    of_one_run = {"record", "baseline", "gate"}
    assert read(*arguments[1:-1]) == Settings(
        **{name: value for name, value in values.items() if name not in of_one_run}
    )
    off = command({"sae_baselines": False}, file="h.yaml", node="n")
    assert "--no-pm-audit-sae-baselines" in off
