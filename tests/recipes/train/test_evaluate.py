"""Accuracy by hand: ties are wrong, every text is scored once, the longer rule stands beside."""

import pytest

from recipes.train.evaluate import accuracy_by_source
from recipes.train.preferences import Pair


def test_accuracy_by_hand():
    pairs = [
        Pair("s", "1", "p", " long", " x"),
        Pair("s", "1", "p", " x", " tied"),
        Pair("t", "2", "q", " b", " ccc"),
    ]
    rewards = {("p", " long"): 2.0, ("p", " x"): 1.0, ("p", " tied"): 1.0, ("q", " b"): 5.0}
    scored = []

    def score(texts):
        scored.extend(texts)
        return [rewards.get(text, 0.0) for text in texts]

    first, second = accuracy_by_source(pairs, score)
    assert (first.source, first.pairs, second.source) == ("s", 2, "t")
    assert (first.accuracy, first.longer) == pytest.approx((0.5, 0.5))
    assert (second.accuracy, second.longer) == pytest.approx((1.0, 0.0))
    assert len(scored) == len(set(scored)) == 5
