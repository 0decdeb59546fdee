"""The project's own labels, and every way in which they can be wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from pm_audit.errors import InvalidSpec
from pm_audit.records import Feature, SaeRecord
from pm_audit.spec.labels import LONGEST, read_labels


def sae(name: str, width: int) -> SaeRecord:
    return SaeRecord(
        name=name, source="here", architecture="relu", layer=6, width=width, sha256="0"
    )


def written(root: Path, text: str, name: str = "labels.yaml") -> Path:
    (root / name).write_text(text, encoding="utf-8")
    return Path(name)


def faults(root: Path, text: str) -> list[str]:
    path = written(root, text)
    with pytest.raises(InvalidSpec) as caught:
        read_labels(path, root)
    return [str(problem) for problem in caught.value.problems]


def test_a_label_is_found_by_sae_and_latent(tmp_path):
    path = written(tmp_path, 'layer_6/3064: "though, could be"\nsaes/deep/0: zero\n')
    labels = read_labels(path, tmp_path)
    assert labels.text(Feature(sae="layer_6", layer=6, index=3064)) == "though, could be"
    assert labels.text(Feature(sae="saes/deep", layer=1, index=0)) == "zero"
    assert labels.text(Feature(sae="layer_6", layer=6, index=0)) is None


def test_without_a_file_there_are_none_and_a_named_file_must_exist(tmp_path):
    assert read_labels(None, tmp_path).of == {}
    with pytest.raises(InvalidSpec, match="no such file"):
        read_labels(Path("names.yaml"), tmp_path)
    written(tmp_path, "layer_6/1: one")
    assert len(read_labels(None, tmp_path).of) == 1


@pytest.mark.parametrize("kind", ["folder", "link"])
def test_what_is_called_labels_and_cannot_be_read_is_refused(tmp_path, kind):
    path = tmp_path / "labels.yaml"
    if kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("nowhere.yaml")
    with pytest.raises(InvalidSpec, match=r"labels\.yaml: (is not a regular|no such) file"):
        read_labels(None, tmp_path)


def test_every_fault_is_told_with_its_place(tmp_path):
    text = f"layer_6: a\nlayer_6/01: b\nlayer_6/1: 5\nlayer_6/2: ' '\nlayer_6/3: {'x' * 201}\n"
    places = [fault.split(": ")[0] for fault in faults(tmp_path, text)]
    assert places == [
        "labels.yaml:1:1",
        "labels.yaml:2:1",
        "labels.yaml:3:12",
        "labels.yaml:4:12",
        "labels.yaml:5:12",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "1:1: the file is empty"),
        ("- a\n", "1:1: write a mapping"),
        ("layer_6/1: a\nlayer_6/1: b\n", "2:1: key 'layer_6/1' appears twice"),
        ("layer_6/1: [a]\n", "1:1: a label is text"),
        ("layer_6/1:\n", "a label is text"),
        ("layer_6/1: &x a\n", "1:12: anchors (&) are refused"),
        (f"layer_6/1: '{'x' * LONGEST}y'\n", f"1 to {LONGEST} characters"),
        ('layer_6/1: "\\u200b\\e\\t"\n', "one of them visible"),
        ("layer_6/9999999999: a\n", "a key names a feature"),
    ],
)
def test_what_is_no_label_is_refused(tmp_path, text, said):
    (fault,) = faults(tmp_path, text)
    assert said in fault


def test_a_file_outside_the_project_is_refused(tmp_path):
    (tmp_path / "project").mkdir()
    written(tmp_path, "layer_6/1: a")
    with pytest.raises(InvalidSpec, match="lies outside the project root"):
        read_labels(Path("../labels.yaml"), tmp_path / "project")


def test_a_latent_outside_its_sae_is_an_error_and_another_sae_a_warning(tmp_path):
    text = "layer_6/7: in\nlayer_6/8: out\nlayer_5/9: other\nlayer_5/1: other\n"
    labels = read_labels(written(tmp_path, text), tmp_path)
    with pytest.raises(InvalidSpec) as caught:
        labels.require_inside([sae("layer_6", 8)])
    assert str(caught.value) == (
        "labels.yaml:2:12: latent 8 is outside SAE layer_6 (0 to 7); correct the index"
    )
    labels.require_inside([sae("layer_6", 9)])
    (warning,) = labels.of_no_sae([sae("layer_6", 9)])
    assert warning.startswith("labels.yaml:3:12: SAE 'layer_5' is not audited")
    assert labels.of_no_sae([sae("layer_6", 9), sae("layer_5", 10)]) == ()
