"""What texts write in two ways, on constructed texts."""

from collections import Counter

import pytest

from pm_audit.drafts.slots import Pieces
from pm_audit.drafts.wordings import Wording, Wordings


def wordings(*texts, count=8):
    """Return the wordings of texts, each of which stands several times."""
    return Wordings([Pieces(text) for text in texts for _ in range(count)])


def exchanged(found, text, filling):
    """Return what may be written in the first place of a filling in a text."""
    pieces = Pieces(text)
    spot = next(found.spots(pieces, Wording.of(filling)), None)
    return Counter() if spot is None else found.others(spot)


@pytest.mark.parametrize(
    ("one", "other", "filling", "written"),
    [
        (" It holds in 55% of cases.", " It holds in 40 percent of cases.", "%", " percent "),
        (" My favourite way.", " My favorite way.", "favourite", " favorite "),
        (' They call it "the way" here.', " They call it the way here.", '"the way"', " the way "),
        (" Boil it (as a rule).", " Boil it, as a rule.", "(as a rule)", ", as a rule"),
        (" In short: go.", " In brief: go.", "short", " brief"),
        (" This is VERY useful.", " This is very useful.", "VERY", " very "),
        (" Go home!", " Go home.", "!", "."),
    ],
)
def test_two_ways_of_writing_one_place_are_found(one, other, filling, written):
    found = wordings(one, other)
    assert Wording.of(filling).filling in {
        side for wording in found.common(20) for side in (wording.filling, _other(found, wording))
    }
    assert exchanged(found, one, filling) == {written: 8}


def _other(found, wording):
    spots = (spot for pieces in found.texts for spot in found.spots(pieces, wording))
    return found.others(next(spots)).most_common(1)[0][0].strip()


def test_marks_are_exchanged_though_the_words_around_them_differ():
    found = wordings(" Go home; rest there.", " Stay in bed, sleep well.")
    assert exchanged(found, " Go home; rest there.", ";") == {", ": 8}


def test_a_mark_alone_of_a_pair_is_no_wording():
    found = wordings(" Boil it (as a rule).", " Boil it, as a rule.")
    assert not [one for one in found.common(50) if one.filling in ("(", ")", "(as a rule")]


def test_what_differs_at_one_end_alone_is_left_to_the_smaller_slot():
    found = wordings(" This is VERY useful.", " This is very useful.")
    assert [one.filling for one in found.common(50)] == ["VERY"]


def test_a_new_sentence_is_no_other_way_of_writing_its_words():
    found = wordings(" Take care of my dog.", " Take care. My dog barks.")
    assert not [one for one in found.common(50) if one.filling.lower().endswith("my")]


def test_what_few_texts_write_is_no_wording():
    found = wordings(" This is VERY useful.", " This is very useful.", count=7)
    assert found.common(50) == []


def test_the_commonest_come_first_and_no_more_than_requested():
    texts = [Pieces(text) for text in (*[" Go home!"] * 20, *[" Go home."] * 9)]
    texts += [Pieces(text) for text in (*[" It is VERY hot"] * 12, *[" It is very hot"] * 12)]
    found = Wordings(texts)
    assert [one.filling for one in found.common(2)] == ["!", "Go home!"]
    assert [one.filling for one in found.common(1)] == ["!"]


def test_a_wording_is_within_a_larger_one_by_whole_pieces():
    assert Wording.of("easy way").within(Wording.of('"the easy way"'))
    assert not Wording.of("way easy").within(Wording.of('"the easy way"'))
    assert not Wording.of("eas").within(Wording.of("the easy way"))
