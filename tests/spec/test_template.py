from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pm_audit.spec.template import LONGEST, Template


def escape(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)


def test_fields_are_filled_in_and_pairs_of_braces_are_braces() -> None:
    template = Template.parse('{{"a": {b}}} {b} {c}')
    assert template.fields == ("b", "c")
    assert template.fill({"b": "1", "c": "2"}) == '{"a": 1} 1 2'


@pytest.mark.parametrize(
    "text", ["{", "}", "{a", "a}", "{a b}", "{}", "{0}", "{a.b}", "{a!r}", "{{{"]
)
def test_a_lone_brace_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="for the brace itself"):
        Template.parse(text)


@given(st.text())
def test_escaped_text_comes_back_to_the_letter(text: str) -> None:
    template = Template.parse(escape(text))
    assert template.fields == ()
    assert template.fill({}) == text


@given(st.lists(st.tuples(st.text(), names, st.text())))
def test_values_never_expand_again(pieces: list[tuple[str, str, str]]) -> None:
    values = {name: value for _, name, value in pieces}
    text = "".join(f"{escape(literal)}{{{name}}}" for literal, name, _ in pieces)
    expected = "".join(f"{literal}{values[name]}" for literal, name, _ in pieces)
    template = Template.parse(text)
    assert template.fill(values) == expected
    assert template.length(values) == len(expected)


@given(st.text(alphabet="{}ab_1 "))
def test_any_template_is_read_or_refused(text: str) -> None:
    try:
        template = Template.parse(text)
    except ValueError:
        return
    template.fill(dict.fromkeys(template.fields, "{x}"))


def test_a_text_that_would_grow_without_bound_is_not_built() -> None:
    template = Template.parse("{a}" * 20_000)
    with pytest.raises(ValueError, match="grows to 1,000,000,000 characters"):
        template.fill({"a": "x" * 50_000})
    assert template.length({"a": "x"}) < LONGEST
