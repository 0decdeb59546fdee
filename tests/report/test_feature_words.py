"""The words on which a feature fires."""

from __future__ import annotations

import pytest

from pm_audit.records import Firing
from pm_audit.report import feature_words


@pytest.fixture
def fires(record):
    def make(*firings: Firing):
        return record.hypotheses[0].features[0].model_copy(update={"firings": firings})

    return make


def firing(before: str, token: str, after: str, **changes) -> Firing:
    return Firing(before=before, token=token, after=after, activation=9.0, **changes)


@pytest.mark.parametrize(
    ("before", "token", "after", "word"),
    [
        (" A hex", "agon", " has six", "“hexagon”"),
        (" Mark Twain,", " though", " I could be", "“though”"),
        (" I can", "'t", " help you", "“can't”"),
        (" of France, dam", "n", " it.", "“damn”"),
        ("glass of water", "!", "", "“!”"),
        (" for f", "uck", "'s sake.", "“fuck's”"),
        ("The boys", "'", " house", "“boys”"),
        ("two facts:", "\n", "1. a", "line break"),
        ("has", " ", "366 days", "white space"),
        (" Paris is the capital.", "", "", "end of turn"),
        ("a", "", "b", "token without text"),
        ("日本", "語", "。", "“日本語”"),
    ],
)
def test_a_token_is_shown_with_its_word(fires, before, token, after, word):
    assert feature_words.label(fires(firing(before, token, after))) == word


def test_a_special_token_has_the_name_that_the_record_holds(fires):
    named = firing("a.", "", "", special="<|im_end|>")
    assert feature_words.label(fires(named)) == "<|im_end|>"


def test_neighbours_that_fire_half_as_strongly_are_shown_with_it(fires):
    could_be = firing("I", " could", " be wrong", others=((7, 10, 6.0), (10, 16, 1.0)))
    assert feature_words.label(fires(could_be)) == "“could be”"
    apart = firing("I", " could", " be wrong", others=((10, 16, 8.0),))
    assert feature_words.label(fires(apart)) == "“could”"
    before = firing("I could", " be", " wrong", others=((1, 7, 6.0),))
    assert feature_words.label(fires(before)) == "“could be”"


def test_words_are_different_ones_strongest_first(fires):
    feature = fires(
        firing("x", " Though", ""), firing("y", " though", ""), firing("z", " could", ""),
        firing("z", " be", ""),
    )  # fmt: skip
    assert feature_words.label(feature) == "“Though”, “could”"
    assert len(feature_words.words(feature, most=9)) == 3
    assert feature_words.label(fires()) == ""


def test_a_word_of_any_length_is_cut(fires):
    (word,) = feature_words.words(fires(firing("", "a" * 5000, "")))
    assert len(word.text) < 40
