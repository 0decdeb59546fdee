"""Tokens as the words that they are part of, on texts whose tokens are written out here."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from pm_audit.forward.grid import Grid, Row
from pm_audit.search.words import Words
from pm_audit.text.text_format import TokenisedRow


def words_of(*completions: list[str]) -> Words:
    """Return the words of completions that are given token by token, after a prompt of one."""
    texts = []
    for tokens in completions:
        ends = np.cumsum([len(token) for token in ["Why?", *tokens]]).tolist()
        offsets = tuple(zip([0, *ends[:-1]], ends, strict=True))
        texts.append(
            TokenisedRow(tuple(range(len(offsets))), 1, offsets, "".join(["Why?", *tokens]))
        )
    grid = Grid(tuple(Row(0, text.token_ids, 1) for text in texts))
    form = SimpleNamespace(token_name=lambda token: f"<|{token}|>")
    return Words.of(SimpleNamespace(grid=grid, pm=SimpleNamespace(text_format=form)), texts)


def shown(words: Words) -> list[str]:
    return [words.shown([at]) for at in range(len(words.words))]


@pytest.mark.parametrize(
    ("tokens", "whole"),
    [
        ([" A", " hex", "agon", " has"], ["A", "hexagon", "has"]),
        ([" Mark", ",", " though"], ["Mark", ",", "though"]),
        ([" I", " can", "'t", " help"], ["I", "can't", "help"]),
        ([" I", " can", "\u2019t"], ["I", "can\u2019t"]),
        ([" dam", "n", "!", "!"], ["damn", "!", "!"]),
        ([" for", " f", "uck", "'s"], ["for", "fuck's"]),
        ([" The", " boys", "'", " house"], ["The", "boys", "'", "house"]),
        ([" two", ":", "\n", "1", "."], ["two", ":", "line break", "1", "."]),
        ([" has", "  ", " 366"], ["has", "white space", "366"]),
        ([" end", ".", "", ""], ["end", ".", "<|3|>", "<|4|>"]),
        (["日本", "語", "。"], ["日本語", "。"]),
        (["日本" * 20, "語", "。"], ["日本" * 20, "語", "。"]),
        ([" https", "://", "www", ".", "x"], ["https", "://", "www", ".", "x"]),
    ],
)
def test_a_token_is_part_of_a_word(tokens, whole):
    words = words_of(tokens)
    assert shown(words) == whole
    assert len(words.of_token) == len(tokens)
    assert (np.diff(words.of_token) >= 0).all()


def test_the_tokens_of_one_character_are_one_word():
    text = TokenisedRow((0, 1, 2), 1, ((0, 1), (1, 2), (1, 2)), "a🎉")
    grid = Grid((Row(0, text.token_ids, 1),))
    words = Words.of(SimpleNamespace(grid=grid, pm=None), [text])
    assert shown(words) == ["🎉"]


def test_words_are_spelled_alike_but_for_capitals_and_names_are_no_text():
    words = words_of([" Perhaps", " <", "|", "2", "|", ">"], [" perhaps", ""])
    spelling = words.spelling.tolist()
    assert spelling[0] == spelling[6]
    assert len(set(spelling)) == 6
    assert words.named.tolist() == [False] * 7 + [True]


def test_a_phrase_is_found_wherever_it_stands_and_never_across_texts():
    words = words_of([" a", " b", " a", " b", " a"], [" b", " A", " b"])
    one, other = words.spelling[:2].tolist()
    assert words.within((one, other)).tolist() == [True] * 4 + [False] * 2 + [True] * 2
    assert words.within((one, other, one)).tolist() == [True] * 5 + [False] * 3
    assert words.within((other,)).tolist() == (words.spelling == other).tolist()
    assert not words.within((one,) * 9).any()
    assert words.shown([3, 4]) == "b a"
