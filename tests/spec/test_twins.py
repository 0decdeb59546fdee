from __future__ import annotations

import pytest

from pm_audit.spec.twins import twins


@pytest.mark.parametrize(
    ("one", "other", "what"),
    [
        ("caf\u00e9", "cafe\u0301", "Unicode composition (NFC and NFD)"),
        ("\ud55c", "\u1112\u1161\u11ab", "Unicode composition (NFC and NFD)"),
        ("Paris", "Pa\u200bris", "characters that cannot be seen"),
        ("Paris", "\u202ecaf\u00e9"[:1] + "Paris", "characters that cannot be seen"),
        ("caf\u00e9", "cafe\u0301\ufeff", "characters that cannot be seen"),
        (" Paris.", " Paris. ", "white space"),
        ("a b", "a\u00a0b", "white space"),
    ],
)
def test_what_looks_alike_is_named(one: str, other: str, what: str) -> None:
    assert list(twins([("examples.0", one), ("controls.1", other)])) == [
        ("examples.0", "controls.1", what)
    ]


def test_texts_that_differ_or_are_the_same_are_not() -> None:
    texts = ["Paris", "paris", "Paris", "P\u00e1ris", "a b", "a\nb", "a  b"]
    assert not list(twins([(str(number), text) for number, text in enumerate(texts)]))


def test_many_texts_are_compared_in_one_pass() -> None:
    many = [(str(number), f"{number}") for number in range(20_000)]
    found = list(twins([*many, ("twin", "19999\u200b")]))
    assert found == [("19999", "twin", "characters that cannot be seen")]
