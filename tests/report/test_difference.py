"""Completions cut around what differs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pm_audit.report.html.difference import shortened


def marked(text: str, other: str | None) -> str:
    return "".join(f"[{p.text}]" if p.differs else p.text for p in shortened(text, other))


def test_common_text_is_cut_and_the_difference_is_marked():
    like = " Paris is the capital of France, and everyone in the class knew as much"
    assert marked(f"{like}, damn it.", f"{like}, mind it.") == ("… class knew as much, [damn] it.")
    tail = " is what I would have told you before, but now there is more to say"
    assert marked(f" Surely{tail}", f" Perhaps{tail}") == " [Surely] is what I would have …"


def test_text_between_two_differences_keeps_both_ends():
    between = " this is a rather long sentence that both of the completions have in common "
    text = marked(f"one{between}two", f"three{between}four")
    assert text.startswith("[one] this is a rather")
    assert text.endswith("in common [two]")
    assert "…" in text


def test_differences_that_a_space_parts_are_one():
    assert marked("I am mistaken.", "I was taught.") == "I [am mistaken]."


def test_a_completion_alone_or_equal_is_common_text():
    assert marked("the same", "the same") == "the same"
    assert marked("alone", None) == "alone"
    assert len(marked("a " * 500, None)) < 200


def test_what_only_the_other_has_marks_nothing():
    assert marked("Yes.", "Yes, of course.") == "Yes."


@given(st.text(max_size=80), st.text(max_size=80))
def test_differences_are_never_lost(text, other):
    shown = shortened(text, other)
    if all(len(part.text) < 40 for part in shown) and not any("…" in p.text for p in shown):
        assert "".join(part.text for part in shown) == text


def test_long_texts_are_compared_by_their_ends():
    text = marked("a " * 3000 + "x" + " b" * 3000, "a " * 3000 + "y" + " b" * 3000)
    assert "[x]" in text
    assert len(text) < 300
