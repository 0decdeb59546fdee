"""A hypothesis file that is written is one that runs read, or it is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from pm_audit.drafts.hypothesis_file import write_hypothesis
from pm_audit.errors import AuditError
from pm_audit.spec import load_hypotheses

YAML = """\
name: a
claim: b
effect: raises
prompts: [{id: p, wordings: [c]}]
examples: [d]
counter_examples: [e]
"""


def files(root: Path) -> list[str]:
    return sorted(path.name for path in root.rglob("*") if path.is_file())


def test_what_is_written_is_read_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    path = write_hypothesis(Path("new/a.yaml"), YAML, root=tmp_path)
    assert path == Path("new/a.yaml")
    read = load_hypotheses([tmp_path / "below" / "new" / "a.yaml"], tmp_path)
    assert [one.name for one in read] == ["a"]


def test_what_cannot_be_read_is_not_left_behind(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match=r"a\.yaml:3:9: `effect` must be"):
        write_hypothesis(tmp_path / "a.yaml", YAML.replace("raises", "up"), root=tmp_path)
    assert files(tmp_path) == []


@pytest.mark.parametrize("effect", ["lowers", "up"])
def test_a_file_that_was_there_stays(tmp_path: Path, effect: str) -> None:
    path = write_hypothesis(tmp_path / "a.yaml", YAML, root=tmp_path)
    with pytest.raises(AuditError, match="exists; name another file"):
        write_hypothesis(path, YAML.replace("raises", effect), root=tmp_path)
    assert path.read_text() == YAML


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../a.yaml", "lies outside the project root"),
        ("a.txt", "no run reads a hypothesis from here"),
        (".a.yaml", "a file of the project that is not hidden"),
        (".hidden/a.yaml", "a file of the project that is not hidden"),
        ("a\x1b.yaml", r"a\\x1b\.yaml'?: no run reads"),
        ("a::b.yaml", "no run reads"),
        ("a.yaml/b.yaml", "is not a folder"),
    ],
)
def test_a_place_that_no_run_reads_is_refused(tmp_path: Path, name: str, message: str) -> None:
    root = tmp_path / "project"
    root.mkdir()
    (root / "a.yaml").touch()
    before = files(tmp_path)
    with pytest.raises(AuditError, match=message) as refused:
        write_hypothesis(root / name, YAML, root=root)
    assert "\x1b" not in str(refused.value)
    assert files(tmp_path) == before
