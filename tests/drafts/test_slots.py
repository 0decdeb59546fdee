import pytest

from pm_audit.drafts.slots import Pieces, Slots, alike, neighbours


def test_a_date_a_time_and_a_run_of_one_mark_are_pieces():
    pieces = Pieces(" On 2024-05-17 at 10:30... don't (as a rule)!")
    assert pieces.written == (
        *("On", "2024-05-17", "at", "10:30", "...", "don't", "(", "as", "a", "rule", ")", "!"),
    )


@pytest.mark.parametrize(
    ("at", "sentence"),
    [(0, "Wash it."), (3, "Dry it first!"), (8, "1. Put"), (-1, "2. Take")],
)
def test_a_sentence_ends_at_a_stop_or_a_line_break(at, sentence):
    pieces = Pieces(" Wash it. Dry it first!\n1. Put\n2. Take")
    assert pieces.within(*pieces.sentence(at % len(pieces))) in (sentence, sentence[3:])


def test_a_slot_holds_what_stands_between_the_same_neighbours():
    texts = [Pieces(text) for text in (" It is VERY useful.", " It is very useful.", " It is.")]
    slots = Slots(texts)
    between = neighbours(texts[0], 2, 3)[0]
    found = [(place.text, slots.filling(place)) for place in slots.places(between)]
    assert found == [(0, " VERY "), (1, " very ")]


def test_neighbours_are_compared_by_kind_where_words_differ():
    texts = [Pieces(" Go home!"), Pieces(" Stay there."), Pieces(" Stay 12.")]
    slots = Slots(texts)
    last = neighbours(texts[0], 2, 3)[2]
    assert sorted(slots.filling(place) for place in slots.places(last) if place.text < 2) == [
        "!",
        ".",
    ]
    assert not [place for place in slots.places(last) if place.text == 2]


@pytest.mark.parametrize(
    ("one", "other", "same"), [(" a ", "b", True), (";", ", ", True), ("!", "a", False)]
)
def test_words_are_not_like_marks(one, other, same):
    assert alike(one, other) is same
