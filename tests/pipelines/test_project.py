from __future__ import annotations

from pathlib import Path

import pytest
from _pytest.config.findpaths import determine_setup

from pm_audit.errors import InvalidSpec
from pm_audit.pipelines.project import find_root, hypothesis_paths, read_settings

CONFIGURED = {
    "pytest.ini": "",
    "pyproject.toml": "[tool.pytest.ini_options]\n",
    "tox.ini": "[pytest]\n",
    "setup.cfg": "[tool:pytest]\n",
}


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Write a hypothesis two folders deep, and work in the upper one."""
    (tmp_path / "outer" / "inner").mkdir(parents=True)
    (tmp_path / "outer" / "inner" / "one.yaml").touch()
    monkeypatch.chdir(tmp_path / "outer")
    return tmp_path


def by_pytest(*paths: str) -> Path:
    return determine_setup(
        inifile=None,
        args=list(paths),
        rootdir_cmd_arg=None,
        invocation_dir=Path.cwd(),
        override_ini=None,
    )[0]


@pytest.mark.parametrize("where", [".", "outer", "outer/inner"])
@pytest.mark.parametrize("name", CONFIGURED)
def test_the_root_is_that_of_pytest(folder, name, where):
    (folder / where / name).write_text(CONFIGURED[name])
    # a nearer file that configures nothing of pytest gives way
    (folder / "outer" / "inner" / "pyproject.toml").touch(exist_ok=True)
    for paths in (["inner/one.yaml"], ["inner"], []):
        assert find_root(map(Path, paths)) == by_pytest(*paths)


def test_without_a_configuration_it_is_the_working_directory(folder):
    assert find_root([Path("inner/one.yaml")]) == folder / "outer"
    assert find_root() == folder / "outer"
    assert find_root([Path("../elsewhere")]) == folder


def test_a_folder_that_holds_the_hypotheses_stands_for_them(folder):
    hypotheses = folder / "outer" / "inner"
    for named in ([], ["."], [".."], ["inner"]):
        assert hypothesis_paths(named, folder=hypotheses, cwd=Path.cwd()) == [hypotheses]
    named = hypothesis_paths(["inner/one.yaml::one/gap"], folder=hypotheses, cwd=Path.cwd())
    assert named == [hypotheses / "one.yaml"]
    with pytest.raises(InvalidSpec, match="no such folder"):
        hypothesis_paths([], folder=folder / "none", cwd=Path.cwd())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tool", "pyproject.toml: cannot be read"),
        ("[tool.pm-audit]", r"is not read; write \[tool.pm_audit\]"),
        ("[tool]\npm_audit = 1", "must be a table"),
        ("[tool.pm_audit]\nseeds = 1", "did you mean `seed`"),
    ],
)
def test_a_broken_table_is_refused(folder, text, message):
    (folder / "pyproject.toml").write_text(text)
    with pytest.raises(InvalidSpec, match=message):
        read_settings(folder)
