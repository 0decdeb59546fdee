"""What is read, skipped, excluded and refused."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pm_audit.data import Columns, Sample, SkipReason, read_pairs, read_rows
from pm_audit.errors import InvalidSpec

Lines = Callable[..., Path]

GOOD = {"prompt": "p", "chosen": "a", "rejected": "b"}


def row(**changed: Any) -> dict[str, Any]:
    return {key: value for key, value in (GOOD | changed).items() if value is not ...}


def chat(*messages: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in messages]


HH = "\n\nHuman: q\n\nAssistant: a"

BROKEN = [
    (b'{"prompt": "p"', SkipReason.UNREADABLE, "is not JSON"),
    (b'{"prompt": "\xff", "chosen": "a", "rejected": "b"}', SkipReason.UNREADABLE, "not UTF-8"),
    (b'{"prompt": "\\ud800", "chosen": "a", "rejected": "b"}', SkipReason.UNREADABLE, "surrogate"),
    (b"[" * 100_000, SkipReason.UNREADABLE, "is not JSON"),
    (b"9" * 10_000, SkipReason.UNREADABLE, "is not JSON"),
    ([1], SkipReason.UNREADABLE, "is list, not an object"),
    (row(prompt=...), SkipReason.MISSING, "has no column `prompt`"),
    (row(rejected=...), SkipReason.MISSING, "has no column `rejected`"),
    (row(chosen=3), SkipReason.WRONG_TYPE, "chosen is int, not a text, chat messages or a list"),
    (row(prompt={"a": 1}), SkipReason.WRONG_TYPE, "role None; known: system, user, assistant"),
    (row(prompt=[3]), SkipReason.WRONG_TYPE, "a message of prompt is int, not an object"),
    (row(chosen=["a", 3]), SkipReason.WRONG_TYPE, "an item of chosen is int, not a text"),
    (row(chosen=chat(("tool", "a"))), SkipReason.WRONG_TYPE, "has the role 'tool'"),
    (row(chosen=chat(("user", "a"))), SkipReason.WRONG_TYPE, "is the human's, not the assistant"),
    (row(prompt=chat(("assistant", "a"))), SkipReason.WRONG_TYPE, "ends with a turn of the assist"),
    (
        row(prompt=chat(("user", "a"), ("system", "b"), ("user", "c"))),
        SkipReason.WRONG_TYPE,
        "the system speaks in the middle",
    ),
    (row(id=[1], prompt="r"), SkipReason.WRONG_TYPE, "`id` is list, not one value"),
    (row(prompt=" \n"), SkipReason.EMPTY, "the prompt is empty"),
    (row(prompt=None), SkipReason.EMPTY, "prompt is empty"),
    (row(chosen="\t"), SkipReason.EMPTY, "a completion is empty"),
    (row(chosen=[]), SkipReason.EMPTY, "chosen is empty"),
    (row(chosen=["a", ""]), SkipReason.EMPTY, "a completion is empty"),
    (row(rejected=None), SkipReason.EMPTY, "rejected is empty"),
    (row(rejected="a"), SkipReason.IDENTICAL, "one text stands on both sides"),
    (row(chosen=" b"), SkipReason.IDENTICAL, "one text stands on both sides"),
    (row(chosen=["c", "b"]), SkipReason.IDENTICAL, "one text stands on both sides"),
    (GOOD, SkipReason.DUPLICATE, "is row 0 again"),
    (row(id=7), SkipReason.DUPLICATE, "is row 0 again"),
    (
        row(prompt=..., chosen=HH, rejected=HH.replace("q", "r")),
        SkipReason.PREFIX,
        "the two sides do not answer the same dialogue",
    ),
    (row(chosen=chat(("user", "z"), ("assistant", "a"))), SkipReason.PREFIX, "same dialogue"),
]


@pytest.mark.parametrize(("broken", "reason", "detail"), BROKEN)
def test_a_row_that_is_no_pair_is_skipped_with_its_reason(
    lines: Lines, broken: object, reason: SkipReason, detail: str
) -> None:
    found = read_pairs(lines(GOOD, broken, row(prompt="last")))
    assert [pair.row for pair in found.pairs] == [0, 2]
    (skipped,) = found.skipped
    assert (skipped.row, skipped.reason) == (1, reason)
    assert detail in skipped.detail
    assert found.skipped_by_reason() == {reason: 1}
    assert (found.rows, found.available) == (3, 2)


def test_ten_thousand_rows_of_which_three_in_a_hundred_are_broken_load_in_seconds(
    lines: Lines,
) -> None:
    broken = [one for one, reason, _ in BROKEN if reason is not SkipReason.DUPLICATE][:16]
    every = [
        broken[number // 33 % len(broken)] if number % 33 == 5 else row(prompt=f"p{number}")
        for number in range(10_000)
    ]
    bad = [number for number in range(10_000) if number % 33 == 5]
    path = lines(*every)
    start = time.process_time()
    found = read_pairs(path)
    assert time.process_time() - start < 15
    assert len(found.pairs) == 10_000 - len(bad)
    assert [one.row for one in found.skipped] == bad
    assert sum(found.skipped_by_reason().values()) == len(bad) == 303


def test_strict_lists_every_row_that_would_be_skipped(lines: Lines) -> None:
    path = lines(GOOD, *(row(chosen="") for _ in range(150)), b"{")
    with pytest.raises(InvalidSpec) as refused:
        read_pairs(path, strict=True)
    first, *_, last = refused.value.problems
    assert str(first) == (
        f"{path}:2: empty text: a completion is empty; correct or leave out the row"
    )
    assert len(refused.value.problems) == 101
    assert last.message == "and 51 more rows are skipped"


def test_blank_lines_and_a_byte_order_mark_are_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "set.ndjson"
    text = json.dumps(GOOD).encode()
    path.write_bytes(b"\xef\xbb\xbf" + text + b"\r\n\r\n \n" + text.replace(b'"p"', b'"q"'))
    found = read_pairs(path)
    assert (found.rows, [pair.row for pair in found.pairs]) == (2, [0, 3])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"prompt": "promt"}, "no row has the column `promt`; did you mean `prompt`?"),
        ({"example": "x"}, "no row has the column `x`; it has `prompt`, `chosen`, `rejected`"),
        ({"id": "ident"}, "no row has the column `ident`; it has"),
    ],
)
def test_a_column_that_is_nowhere_is_an_error(
    lines: Lines, columns: dict[str, str], message: str
) -> None:
    with pytest.raises(InvalidSpec, match=message) as refused:
        read_pairs(lines(GOOD), Columns(**columns))
    assert [problem.key for problem in refused.value.problems] == [tuple(columns)]


def test_every_column_that_is_nowhere_is_named_at_once(lines: Lines) -> None:
    with pytest.raises(InvalidSpec) as refused:
        read_pairs(
            lines(GOOD), Columns(id="i"), where={"subset": "a"}, sample=Sample(1, by="stratum")
        )
    keys = [problem.key for problem in refused.value.problems]
    assert keys == [("id",), ("where", "subset"), ("sample", "by")]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "holds no row"),
        ([{"a": "b"}], "no column is known as example; name it: there are `a`"),
        ([row(prompt=...)], "1 skipped, the first, row 0, as missing column: neither side"),
        ([b"{", b"{"], "none of its 2 rows is a pair: 2 skipped, the first, row 0, as unread"),
    ],
)
def test_a_file_without_a_pair_is_an_error(lines: Lines, rows: list, message: str) -> None:
    with pytest.raises(InvalidSpec, match=message):
        read_pairs(lines(*rows))


def test_a_filter_excludes_and_does_not_skip(lines: Lines) -> None:
    given = [row(prompt=str(at), subset="abc"[at % 3], hard=bool(at % 2), n=at) for at in range(12)]
    path = lines(*given)
    for where, expected in (
        ({"subset": "a"}, [0, 3, 6, 9]),
        ({"subset": ["a", "b"], "hard": True}, [1, 3, 7, 9]),
        ({"hard": 1}, None),
        ({"n": [3, 4.0]}, [3, 4]),
    ):
        if expected is None:
            with pytest.raises(InvalidSpec, match=r"none of its 12 rows .* 12 do not have hard: 1"):
                read_pairs(path, where=where)
            continue
        found = read_pairs(path, where=where)
        assert [pair.row for pair in found.pairs] == expected
        assert (found.excluded, found.skipped) == (12 - len(expected), ())


def test_a_text_of_a_csv_equals_the_value_that_it_spells(tmp_path: Path) -> None:
    path = tmp_path / "set.csv"
    path.write_text("prompt,chosen,rejected,n,hard\np,a,b,3,True\nq,a,b,4,False\n")
    assert [pair.row for pair in read_pairs(path, where={"n": 3, "hard": True}).pairs] == [0]


def test_ids_are_unique_and_those_that_are_made_do_not_depend_on_the_order() -> None:
    given = [
        row(prompt=f"p{at}", id=one) for at, one in enumerate([1, "1", 1.5, None, "", "ü/ 🙂"])
    ]
    names = [pair.id for pair in read_rows(given).pairs]
    assert names[0] == "1"
    assert names[1].startswith("1-")
    assert (names[2], names[5]) == ("1.5", "ü/ 🙂")
    assert len(set(names)) == 6
    without = [row(prompt=f"p{at}") for at in range(5)]
    made = {pair.turns: pair.id for pair in read_rows(without).pairs}
    assert made == {pair.turns: pair.id for pair in read_rows(without[::-1]).pairs}


def test_a_chat_may_repeat_its_prompt_go_on_after_it_or_come_alone() -> None:
    turns = [("user", "q"), ("assistant", "r"), ("user", "s")]
    system = ("system", "be brief")

    def read(prompt: object, side: list[tuple[str, str]]) -> tuple[str, ...]:
        sides = {key: chat(*side, ("assistant", key)) for key in ("chosen", "rejected")}
        (pair,) = read_rows([row(prompt=prompt, **sides)]).pairs
        assert (pair.examples, pair.counter_examples) == ((" chosen",), (" rejected",))
        return tuple(turn.text for turn in pair.turns)

    assert read(..., turns) == ("q", "r", "s")
    assert read("q", turns) == ("q", "r", "s")
    assert read("q", turns[1:]) == ("q", "r", "s")
    assert read(chat(*turns), []) == ("q", "r", "s")
    assert read(chat(system, *turns), turns) == ("be brief", "q", "r", "s")
    assert read(chat(("system", " "), *turns), []) == ("q", "r", "s")
    assert read(..., [system, *turns]) == ("be brief", "q", "r", "s")


def test_sharegpt_messages_parts_and_single_messages_are_read() -> None:
    (pair,) = read_rows(
        [
            {
                "conversations": [{"from": "human", "value": "q"}],
                "chosen": {"from": "gpt", "value": "a"},
                "rejected": {"role": "assistant", "content": [{"type": "text", "text": "b"}]},
            }
        ]
    ).pairs
    assert [turn.text for turn in pair.turns] == ["q"]
    assert (pair.examples, pair.counter_examples) == ((" a",), (" b",))


def test_a_prompt_may_be_a_transcript_and_an_answer_may_look_like_one() -> None:
    dialogue = "\n\nHuman: q\n\nAssistant: r\n\nHuman: s\n\nAssistant:"
    (pair,) = read_rows([row(prompt=dialogue, chosen=HH)]).pairs
    assert [(turn.speaker, turn.text) for turn in pair.turns] == [
        ("human", "q"),
        ("assistant", "r"),
        ("human", "s"),
    ]
    assert pair.examples == (HH,)
    (whole,) = read_rows([row(prompt="q", chosen=HH, rejected=HH + "!")]).pairs
    assert (whole.examples, whole.counter_examples) == ((" a",), (" a!",))


def test_a_text_that_repeats_within_a_side_counts_once() -> None:
    (pair,) = read_rows([row(chosen=["a", " a", "c"])]).pairs
    assert pair.examples == (" a", " c")


def test_the_hash_is_that_of_the_file_or_of_the_rows(lines: Lines) -> None:
    import hashlib

    path = lines(GOOD)
    assert read_pairs(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert read_pairs(path).file == str(path)
    one, other = read_rows([GOOD]), read_rows([row(chosen="c")])
    assert one.sha256 == read_rows([dict(GOOD)]).sha256 != other.sha256
