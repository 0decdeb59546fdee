"""What is collected as a check, and what other plug-ins and conftests find."""

from __future__ import annotations

import pytest


def audits(pytester) -> list[str]:
    log = pytester.path / "audits.log"
    return [line.split()[0] for line in log.read_text().splitlines()] if log.exists() else []


def run(pytester, *arguments: str):
    return pytester.runpytest_subprocess("--pm-audit", *arguments)


def test_only_hypotheses_are_collected(project, pytester):
    project("i-dont-know")
    (pytester.path / "test_other.py").write_text("def test_other(): raise SystemExit('ran')\n")
    (pytester.path / "mkdocs.yml").write_text("site_name: not a hypothesis\n")
    for paths in ((), (".",), ("hypotheses",), ("hypotheses/i_dont_know.yaml",)):
        run(pytester, *paths).assert_outcomes(passed=4)


def test_collecting_only_writes_nothing(project, pytester):
    project("urls")
    result = run(pytester, "--collect-only", "-q")
    result.stdout.fnmatch_lines(["hypotheses/urls.yaml::urls/gap"])
    assert audits(pytester) == []
    assert not (pytester.path / "reports").exists()


def test_a_project_without_tests_says_how_its_hypotheses_are_audited(project, pytester):
    hint = "to audit the hypotheses of pm_audit: pytest --pm-audit"
    assert hint not in pytester.runpytest_subprocess().stdout.str()
    project("urls")
    result = pytester.runpytest_subprocess()
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    assert hint in result.stdout.str()
    pytester.makepyfile("def test_other(): pass")
    assert hint not in pytester.runpytest_subprocess().stdout.str()


def test_a_hypothesis_without_the_option_says_what_to_add(project, pytester):
    project("urls")
    for path in ("hypotheses/urls.yaml", str(pytester.path / "hypotheses" / "urls.yaml")):
        result = pytester.runpytest_subprocess(f"{path}::urls/gap")
        assert result.ret == 4
        result.stderr.fnmatch_lines([f"ERROR: *add --pm-audit: pytest --pm-audit {path}"])
        result = pytester.runpytest_subprocess(path)
        assert result.ret == 4
        result.stderr.fnmatch_lines([f"ERROR: *add --pm-audit: pytest --pm-audit {path}"])
    (pytester.path / "other.yaml").write_text("site_name: not a hypothesis\n")
    result = pytester.runpytest_subprocess("other.yaml")
    assert result.ret == 4
    assert "pm-audit" not in result.stderr.str()


READS_YAML = """
class OtherFile(pytest.File):
    def collect(self):
        yield Other.from_parent(self, name="other")

class Other(pytest.Item):
    def runtest(self):
        raise SystemExit("ran")

def pytest_collect_file(file_path, parent):
    if file_path.suffix == ".yaml":
        return OtherFile.from_parent(parent, path=file_path)
"""


def test_what_other_plugins_make_of_yaml_is_not_run(project, pytester):
    project("i-dont-know")
    stand_in = (pytester.path / "conftest.py").read_text()
    pytester.makeconftest(f"import pytest\n{stand_in}\n{READS_YAML}")
    result = run(pytester)
    result.assert_outcomes(passed=4)
    assert result.ret == 0


READS_ITEMS = """
def pytest_collection_modifyitems(items):
    for item in items:
        item.function.__doc__, item.function.__name__, item.function.__module__
        item.obj, item.cls, item.instance, item.module.__name__, item.originalname
        assert "tmp_path" not in item.fixturenames
        assert not getattr(item.function, "slow", False)
        item.fixturenames.append("tmp_path")
        item.get_closest_marker("slow"), item.own_markers, item.keywords, item.funcargs
"""


@pytest.mark.parametrize("plugins", [(), ("-p", "hypothesis.extra.pytestplugin")], ids=["", "hyp"])
def test_a_conftest_that_takes_items_for_functions_finds_attributes(project, pytester, plugins):
    project("i-dont-know")
    stand_in = (pytester.path / "conftest.py").read_text()
    pytester.makeconftest(stand_in + READS_ITEMS)
    result = run(pytester, *plugins)
    result.assert_outcomes(passed=4)
    assert result.ret == 0
