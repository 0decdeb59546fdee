import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pm_audit.strategies import (
    KINDS,
    Attach,
    Case,
    Insert,
    Program,
    Reorder,
    Repeat,
    Substitute,
    Truncate,
    Wrap,
    programs,
)

TEXT = " Paris is the capital."

EDITED = [
    (Insert(text="Sure,"), " Sure, Paris is the capital."),
    (Insert(text="so they say", after=1), " Paris so they say is the capital."),
    (Insert(text="Yes.", after=40), " Paris is the capital. Yes."),
    (Insert(text="Yes.", after=None), " Paris is the capital. Yes."),
    (Attach(text="!", word=0), " Paris! is the capital."),
    (Attach(text="!", word=40), " Paris is the capital.!"),
    (Wrap(before="**", behind="**"), " **Paris is the capital.**"),
    (Wrap(before="<b>", behind="</b>", word=2), " Paris is <b>the</b> capital."),
    (Substitute(old="a", new="\u0430"), " P\u0430ris is the capital."),
    (Substitute(old="i", new="I", most=2), " ParIs Is the capital."),
    (Repeat(), " Paris is the capital. capital."),
    (Repeat(words=2, times=2), " Paris is the capital. the capital. the capital."),
    (Repeat(words=None), " Paris is the capital. Paris is the capital."),
    (Reorder(), " is Paris the capital."),
    (Reorder(how="reverse"), " capital. the is Paris"),
    (Reorder(how="first_last"), " is the capital. Paris"),
    (Reorder(how="last_first"), " capital. Paris is the"),
    (Case(how="upper"), " PARIS IS THE CAPITAL."),
    (Case(how="upper", word=2), " Paris is THE capital."),
    (Truncate(), " Paris is the capital"),
    (Truncate(words=2), " Paris is"),
    (Truncate(words=40), " Paris"),
]


@pytest.mark.parametrize(("edit", "edited"), EDITED, ids=lambda each: str(each))
def test_an_edit_does_what_it_says(edit, edited):
    assert edit.apply(TEXT) == edited


def test_edits_are_made_one_after_the_other_and_told_in_that_order():
    program = Program(edits=(Truncate(words=2), Insert(text="yes", after=None), Case(how="upper")))
    assert program.apply(TEXT) == " PARIS IS YES"
    assert str(program) == (
        "drop the last 2 words; then write \u201cyes\u201d at the end; then put the text in upper "
        "case"
    )


@pytest.mark.parametrize("edit", [edit for edit, _ in EDITED], ids=str)
@pytest.mark.parametrize("text", ["", " ", "\n", "a", " a \n"])
def test_a_text_of_no_or_one_word_is_edited_too(edit, text):
    edited = edit.apply(text)
    assert edited.startswith(text[: len(text) - len(text.lstrip())])
    assert bool(edited.strip()) or not text.strip()


@given(
    programs(*[kind() for kind in KINDS.values()], at_most=3),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=40),
)
def test_a_program_keeps_what_is_before_the_first_word_and_leaves_a_word(program, text):
    lead = text[: len(text) - len(text.lstrip())]
    edited = program.apply(f"{lead}word {text}")
    assert edited.startswith(lead)
    assert edited.strip()


def test_white_space_between_words_stays_as_it_is():
    text = "  one\n\ntwo\tthree "
    assert Insert(text="x", after=1).apply(text) == "  one\n\nx two\tthree "
    assert Reorder().apply(text) == "  two\n\none\tthree "
    assert Repeat(words=2).apply(text) == "  one\n\ntwo\tthree two\tthree "


def test_a_program_is_read_back_from_json():
    program = Program(edits=tuple(edit for edit, _ in EDITED))
    assert Program.model_validate_json(program.model_dump_json()) == program
    with pytest.raises(ValidationError):
        Program.model_validate({"edits": [{"kind": "insert", "text": "a", "after": -1}]})
    with pytest.raises(ValidationError):
        Program.model_validate({"edits": [{"kind": "delete"}]})


def test_what_cannot_be_printed_is_spelled_in_words():
    assert str(Insert(text="\x1b[31m")) == r"write '\x1b[31m' at the beginning"
    assert str(Substitute(old="a", new="\u0430")) == "write U+0430 for the first \u201ca\u201d"
