from __future__ import annotations

import pytest

from pm_audit.spec.strict_yaml import parse

TEXT = """\
name: x
examples:
  - one
  - two
expect:
  gap: none
"""


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (("name",), "f:1:7"),
        (("examples",), "f:2:1"),
        (("examples", 1), "f:4:5"),
        (("expect", "gap"), "f:6:8"),
        (("expect", "closure"), "f:5:1"),
        (("examples", 9), "f:2:1"),
        (("claim",), "f:1:1"),
    ],
)
def test_everything_has_its_place(path: tuple[str | int, ...], place: str) -> None:
    assert str(parse(TEXT, "f").top.locate(path)) == place


def test_a_key_that_is_meant_is_placed_at_the_key() -> None:
    assert str(parse(TEXT, "f").top.locate(("expect", "gap"), key_meant=True)) == "f:6:3"


def test_lines_are_listed_by_path() -> None:
    assert dict(parse(TEXT, "f").top.lines()) == {
        "name": 1,
        "examples": 2,
        "examples.0": 3,
        "examples.1": 4,
        "expect": 5,
        "expect.gap": 6,
    }
