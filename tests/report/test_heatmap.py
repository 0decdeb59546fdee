"""Heatmaps: the whole text, every firing token coloured, on one scale."""

from __future__ import annotations

import pytest

from pm_audit.records import Firing
from pm_audit.report.html.heatmap import HEAT_STEPS, heatmaps


def firing(others=(), **changes) -> Firing:
    given = {"before": "ab ", "token": "cd", "after": " ef", "activation": 9.0}
    return Firing(**(given | changes), others=others)


def test_each_text_is_whole_and_its_tokens_are_as_hot_as_they_fire():
    (line,) = heatmaps((firing(((0, 2, 1.0), (5, 8, 4.6))),))
    assert [(token.text, token.heat, token.activation) for token in line] == [
        ("ab", 1, 1.0),
        (" ", 0, None),
        ("cd", HEAT_STEPS, 9.0),
        (" ef", 5, 4.6),
    ]


def test_texts_share_one_scale(record):
    for feature in record.hypotheses[0].features:
        lines = heatmaps(feature.firings)
        assert ["".join(token.text for token in line) for line in lines] == [
            f.before + f.token + f.after for f in feature.firings
        ]
        hottest = [max(token.heat for token in line) for line in lines]
        assert hottest[0] == HEAT_STEPS
        assert hottest == sorted(hottest, reverse=True)
    assert heatmaps(()) == ()


def test_tokens_of_one_character_share_its_place():
    (line,) = heatmaps((firing(((3, 5, 2.0), (0, 1, 3.0), (0, 1, 6.0))),))
    assert [(token.text, token.activation) for token in line if token.heat] == [
        ("a", 6.0),
        ("cd", 9.0),
    ]


def test_a_token_without_text_is_shown_by_its_name():
    (line,) = heatmaps((firing(token="", after=""),))
    assert [(t.text, t.heat, t.named) for t in line] == [
        ("ab ", 0, False),
        ("end of turn", HEAT_STEPS, True),
    ]
    (line,) = heatmaps((firing(token="", after="", special="<|im_end|>"),))
    assert line[-1].text == "<|im_end|>"
    # another of the tokens on which it fires: at the text's end, and inside
    (line,) = heatmaps((firing(((8, 8, 3.0), (1, 1, 3.0))),))
    assert [t.text for t in line if t.named] == ["token without text", "end of turn"]
    (line,) = heatmaps((firing(token="\n", after=""),))
    assert [t.text for t in line if t.named] == ["line break"]


@pytest.mark.parametrize("place", [(4, 2), (7, 99), (-3, 1), (2, 4)])
def test_places_outside_the_text_or_across_another_are_left_out(place):
    (line,) = heatmaps((firing(((*place, 5.0), (0, 2, 1.0))),))
    assert "".join(token.text for token in line) == "ab cd ef"


def test_a_record_without_others_is_written_as_before():
    assert not {"others", "special"} & firing().model_dump().keys()
    again = Firing.model_validate_json(firing(((0, 2, 1.0),)).model_dump_json())
    assert again.others == ((0, 2, 1.0),)
