from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pm_audit.errors import InvalidSpec
from pm_audit.spec import strict_yaml
from pm_audit.spec.strict_yaml import parse

Faults = Callable[[Callable[[], object]], list[str]]


@pytest.fixture(autouse=True, params=["libyaml", "python"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run every test with both of PyYAML's parsers."""
    if request.param == "libyaml":
        assert yaml.__with_libyaml__
    monkeypatch.setattr(yaml, "__with_libyaml__", request.param == "libyaml")


def test_the_core_schema_of_yaml_1_2_is_read() -> None:
    text = "answer: No\nswitch: on\nsmall: 1e-3\nquoted: '1'\nlist: [true, ~]\n"
    assert parse(text, "f").top.value == {
        "answer": "No",
        "switch": "on",
        "small": 0.001,
        "quoted": "1",
        "list": [True, None],
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &x 1", "f:1:4: anchors"),
        ("a: 1\nb: *x", "f:2:4: aliases"),
        ("a: {<<: 1}", "f:1:5: merge keys"),
        ("a: !!python/object:os.system 1", "f:1:4: tags"),
        ("a: ! 1", "f:1:4: tags"),
        ("a: 1\nb: 2\na: 3", "f:3:1: key 'a' appears twice, first on line 1"),
        ("1: a", "f:1:1: a key must be text"),
        ("[a]: b", "f:1:1: a key must be text"),
        ("a: 1\n---\nb: 2", "f:2:1: a second document"),
        ("%YAML 1.1\n---\na: 1", "f:1:1: directives"),
        ("%TAG ! !x\n---\na: 1", "f:1:1: directives"),
        ("", "the file is empty"),
        ("# only a remark\n", "the file is empty"),
        ("a: [1", "not YAML: while parsing a flow sequence"),
        ("a:\n\t- 1", "f:2:1: not YAML"),
        ("a: \x07", "f:1:4: character U+0007"),
        ("a: b\u2028c", "f:1:5: character U+2028"),
        ('a: "\\ud800"', "f:1:"),
        ('a: "\\UFFFFFFFF"', "f"),
        ("a: " + "9" * 1000, "f:1:4: a number of 1000 digits"),
    ],
)
def test_what_is_refused_is_named_with_its_place(text: str, message: str, faults: Faults) -> None:
    (fault,) = faults(lambda: parse(text, "f"))
    assert message in fault
    assert fault.isprintable()


def test_all_faults_of_a_file_are_reported(faults: Faults) -> None:
    found = faults(lambda: parse("a: &x 1\nb: *x\na: !t 2\n", "f"))
    assert [fault.split(":")[1] for fault in found] == ["1", "2", "3", "3"]


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "{a: " * 100_000,
        "- " * 100_000,
        "? " * 100_000,
        "- a\n" * 100_000,
        "a: " + "[a," * 33 + "]" * 33,
        "".join(f"k{n}: 1\n" for n in range(10_001)),
        # A merge bomb: eight levels of nine references each.
        "a0: &a0 {x: 1}\n"
        + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 9)),
        "&a [*a, *a]",
    ],
    ids=["brackets", "maps", "dashes", "keys", "items", "deep", "wide", "merges", "self"],
)
def test_bombs_are_refused_at_once(text: str, faults: Faults) -> None:
    start = time.process_time()
    assert len(faults(lambda: parse(text, "f"))) <= strict_yaml.MAX_PROBLEMS
    assert time.process_time() - start < 10


def test_the_limits_themselves_are_allowed() -> None:
    deepest = "[" * strict_yaml.MAX_DEPTH + "]" * strict_yaml.MAX_DEPTH
    assert parse(deepest, "f").top.value is not None
    widest = "[" + "a," * (strict_yaml.MAX_NODES - 1) + "]"
    assert len(parse(widest, "f").top.value) == strict_yaml.MAX_NODES - 1  # type: ignore[arg-type]


@pytest.mark.parametrize("text", [r"a: 'one\ntwo'", r"a: one\ntwo", r"a: 'caf\u00e9'"])
def test_an_escape_outside_double_quotes_is_pointed_out(text: str) -> None:
    (warning,) = parse(text, "f").warnings
    assert str(warning).startswith("f:1:4: ")
    assert "double quotes" in warning.message


def test_an_escape_in_double_quotes_is_none_of_our_business() -> None:
    document = parse(r'a: "one\ntwo \\n"', "f")
    assert document.warnings == ()
    assert document.top.value == {"a": "one\ntwo \\n"}


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(InvalidSpec):
        parse(text, "f")


@given(st.text(alphabet="[]{}:,-?&*!|>'\"%@`#~<= \n\tab1.\\", max_size=80))
def test_any_punctuation_is_read_or_refused(text: str) -> None:
    with suppress(InvalidSpec):
        parse(text, "f")


@given(st.text())
def test_text_in_double_quotes_arrives_to_the_letter(text: str) -> None:
    quoted = "".join(f"\\U{ord(letter):08X}" for letter in text)
    assert parse(f'a: "{quoted}"', "f").top.value == {"a": text}
