"""The tests that the page on property tests shows do under pytest what the page says of them."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from pm_audit.strategies import drawn

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "property-tests.md"
TITLED = re.compile(r'^```python title="([^"]+)"\n(.*?)^```', re.MULTILINE | re.DOTALL)
SHOWN = re.compile(r"^```output\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_the_table_has_every_strategy_with_its_arguments_and_its_names_in_yaml():
    names: dict[str, list[str]] = {}
    for found, written in ((drawn.KINDS, "`{}`"), (drawn.PHRASED, "`{{{}: ...}}`")):
        for key, strategy in found.items():
            call = f"`{strategy.__name__}({', '.join(inspect.signature(strategy).parameters)})`"
            names.setdefault(call, []).append(written.format(key))
    _, table = PAGE.read_text(encoding="utf-8").split("| strategy | in YAML | what it draws |\n")
    rows = [line.strip("| ").split(" | ") for line in table.split("\n\n")[0].splitlines()[1:]]
    assert {call: keys for call, keys, _ in rows} == {
        call: ", ".join(keys) for call, keys in names.items()
    }


def test_the_tests_of_the_page_pass_and_fail_as_it_says(pytester, monkeypatch):
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "pm_audit.pytest_plugin.plugin,_hypothesis_pytestplugin")
    text = PAGE.read_text(encoding="utf-8")
    files = dict(TITLED.findall(text))
    assert len(files) == 3
    pytester.mkdir("tests")
    *tests, conftest = files
    for name in tests:
        (pytester.path / name).write_text(files[name], encoding="utf-8")
    result = pytester.runpytest_subprocess("tests")
    result.assert_outcomes(failed=1, passed=1)
    (shown,) = SHOWN.findall(text)
    said = [line.removeprefix("E").strip() for line in result.outlines]
    start = said.index(shown.splitlines()[0])
    assert said[start : start + 4] == [line.strip() for line in shown.splitlines()]

    (pytester.path / conftest).write_text(files[conftest], encoding="utf-8")
    result = pytester.runpytest_subprocess("tests/test_several.py", "-k", "raw")
    result.assert_outcomes(passed=1, deselected=1)
