from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pm_audit.spec.project_files import MAX_BYTES, inside, read_text, yaml_files

Faults = Callable[[Callable[[], object]], list[str]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "a.yaml").write_text("inside")
    (tmp_path / "secret.yaml").write_text("secret")
    (tmp_path / "root-sibling").mkdir()
    return root


@pytest.mark.parametrize(
    "path",
    ["../secret.yaml", "sub/../../secret.yaml", "/etc/hostname", "../root-sibling", "..", "link/x"],
)
def test_nothing_outside_the_root_is_opened(root: Path, path: str, faults: Faults) -> None:
    (root / "link").symlink_to(root.parent)
    (fault,) = faults(lambda: read_text(Path(path), root))
    assert "outside the project root" in fault


def test_a_link_is_judged_by_where_it_leads(root: Path, faults: Faults) -> None:
    (root / "in.yaml").symlink_to(root / "sub" / "a.yaml")
    (root / "out.yaml").symlink_to(root.parent / "secret.yaml")
    (root / "circle.yaml").symlink_to(root / "circle.yaml")
    assert read_text(Path("in.yaml"), root) == "inside"
    assert "outside the project root" in faults(lambda: read_text(Path("out.yaml"), root))[0]
    assert faults(lambda: read_text(Path("circle.yaml"), root))[0].startswith("circle.yaml: ")


def test_a_root_that_is_a_link_holds_its_files(root: Path) -> None:
    alias = root.parent / "alias"
    alias.symlink_to(root)
    assert inside(Path("sub/a.yaml"), alias) == root / "sub" / "a.yaml"
    assert yaml_files(Path("sub"), alias) == (alias / "sub" / "a.yaml",)


def test_only_small_regular_text_files_are_read(root: Path, faults: Faults) -> None:
    (root / "large").write_bytes(b"#" * (MAX_BYTES + 1))
    (root / "largest").write_bytes(b"#" * MAX_BYTES)
    (root / "latin").write_bytes(b"a: 1\nb: caf\xe9\n")
    (root / "marked").write_bytes(b"\xef\xbb\xbfa: 1")
    os.mkfifo(root / "pipe")
    assert len(read_text(Path("largest"), root)) == MAX_BYTES
    assert read_text(Path("marked"), root) == "a: 1"
    for name, message in {
        "large": "larger than 1,048,576 bytes",
        "latin": "latin:2: is not UTF-8",
        "pipe": "not a regular file",
        "sub": "not a regular file",
        "none": "no such file",
        "nul\0": "leads nowhere",
    }.items():
        assert message in faults(lambda name=name: read_text(Path(name), root))[0]


def test_folders_are_searched_for_yaml_of_either_name(root: Path, faults: Faults) -> None:
    (root / "sub" / "b.yml").write_text("")
    (root / "sub" / "c.txt").write_text("")
    (root / "sub" / ".hidden").mkdir()
    (root / "sub" / ".hidden" / "d.yaml").write_text("")
    names = [path.name for path in yaml_files(Path("sub"), root)]
    assert names == ["a.yaml", "b.yml"]
    assert yaml_files(Path("sub/b.yml"), root) == (root / "sub" / "b.yml",)
    assert yaml_files(Path("../root/sub/a.yaml"), root) == (root / "sub" / "a.yaml",)
    (root / "bare").mkdir()
    assert "holds no .yaml" in faults(lambda: yaml_files(Path("bare"), root))[0]
    assert "not a YAML file" in faults(lambda: yaml_files(Path("sub/c.txt"), root))[0]
    assert "no such file" in faults(lambda: yaml_files(Path("sub/z.yaml"), root))[0]


def test_no_file_of_a_folder_is_passed_over_in_silence(
    root: Path, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "sub" / "LOUD.YAML").write_text("")
    (root / "shared").mkdir()
    (root / "shared" / "b.yml").write_text("")
    (root / "sub" / "linked").symlink_to(root / "shared")
    (root / "sub" / "circle").symlink_to(root / "sub")
    names = [path.name for path in yaml_files(Path("sub"), root)]
    assert names == ["LOUD.YAML", "a.yaml", "b.yml"]
    (root / "sub" / "out").symlink_to(root.parent / "root-sibling")
    assert "outside the project root" in faults(lambda: yaml_files(Path("sub"), root))[0]
    (root / "sub" / "out").unlink()

    def closed(folder: str) -> None:
        raise PermissionError(13, "Permission denied", folder)

    monkeypatch.setattr(os, "scandir", closed)
    (fault,) = faults(lambda: yaml_files(Path("sub"), root))
    assert fault == "sub: cannot be read: Permission denied"


@pytest.mark.parametrize("name", [b"a\x1b[31m.yaml", b"a\nb.yaml", b"a::b.yml", b"a\xff.yaml"])
def test_a_file_name_that_no_node_id_can_hold_is_refused(
    root: Path, faults: Faults, name: bytes
) -> None:
    (root / "sub" / os.fsdecode(name)).write_text("")
    (fault,) = faults(lambda: yaml_files(Path("sub"), root))
    assert fault.startswith("sub: the file name ")
    assert fault.isprintable()
