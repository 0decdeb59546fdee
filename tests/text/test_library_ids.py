"""Ids of every style of tokenizer, template and text are those of transformers."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

import pytest

from pm_audit.data.dialogue import Dialogue, Speaker, Turn
from pm_audit.text.text_format import TextFormat, TokenisedRow
from tests.text.styles import NAMES, OTHERS, STYLES, TEMPLATES, renamed, template

DIALOGUES = 25
"""Random dialogues of a style and template; 500 were run when this was written."""

WORDS = [
    *(
        "Paris",
        "The sea",
        " keeps",
        " its own time",
        "I do not know.",
        "joke",
        "_",
        "x",
        "17",
        "im_",
    ),
    *(
        " ",
        "  ",
        "\n",
        "\n\n",
        "\t",
        "\r\n",
        "\u00a0",
        "\u2581",
        "\u200b",
        "\u0301",
        "e\u0301",
        "\u00e9",
    ),
    *(
        "\u1112\u1161",
        "\u11ab",
        "\U0001f469\u200d\U0001f467",
        "\ufb01",
        "A\u030a",
        "\u0645\u0631",
        "\ue000",
    ),
    *(
        "<|im_",
        "end|>",
        "<|",
        "|>",
        "<",
        "s>",
        "</",
        "<S>",
        "<|IM_END|>",
        "<think>",
        "</think>",
        "%",
    ),
    *("<0x0A>", "[INST]", "[/INST]", "user\n", "{", "}", "\x00", "\ud7a3"),
    *NAMES.values(),
]


def dialogue(chance: random.Random) -> tuple[Dialogue, str]:
    def text() -> str:
        return "".join(chance.choices(WORDS, k=chance.randrange(7)))

    turns = [Turn(speaker=Speaker.HUMAN, text=text())]
    if chance.random() < 0.3:
        turns += [Turn(speaker=Speaker.ASSISTANT, text=text())]
        turns += [Turn(speaker=Speaker.HUMAN, text=text())]
    if chance.random() < 0.2:
        turns.insert(0, Turn(speaker=Speaker.SYSTEM, text=text()))
    return tuple(turns), chance.choice(["", " "]) + text()


@cache
def both(style: str) -> tuple[Any, Any]:
    """Return a tokenizer under its own names and the same one under others."""
    one = STYLES[style](NAMES)
    other = renamed(one)
    assert len(one) == len(other)
    for key, name in NAMES.items():
        assert one.convert_tokens_to_ids(name) == other.convert_tokens_to_ids(OTHERS[key])
    return one, other


def messages_of(turns: Dialogue, completion: str) -> list[dict[str, str]]:
    roles = {Speaker.SYSTEM: "system", Speaker.HUMAN: "user", Speaker.ASSISTANT: "assistant"}
    messages = [{"role": roles[turn.speaker], "content": turn.text} for turn in turns]
    return [*messages, {"role": "assistant", "content": completion}]


def expected(oracle: Any, turns: Dialogue, completion: str) -> list[int]:
    """Return what transformers makes of the dialogue, to which the special names say nothing."""
    messages = messages_of(turns, completion.removeprefix(" "))
    ids = oracle.apply_chat_template(messages, tokenize=True, return_dict=True)["input_ids"]
    # a tokenizer that begins every text with BOS begins this one with it too, once
    bos = oracle.bos_token_id
    begins = oracle("a").input_ids[0] == bos and ids[:1] != [bos]
    return [bos, *ids] if begins else ids


@pytest.mark.parametrize("written", TEMPLATES)
@pytest.mark.parametrize("style", STYLES)
def test_a_chat_has_the_ids_of_transformers(style: str, written: str) -> None:
    tokenizer, oracle = both(style)
    tokenizer.chat_template = template(written, NAMES)
    oracle.chat_template = template(written, OTHERS)
    form = TextFormat("chat", tokenizer)
    chance = random.Random(f"{style} {written}")
    for _ in range(DIALOGUES):
        turns, completion = dialogue(chance)
        row = form.tokenise(turns, completion)
        assert list(row.token_ids) == expected(oracle, turns, completion), (turns, completion)
        marked = messages_of(turns, " \ue0ff ")
        place = tokenizer.apply_chat_template(marked, tokenize=False).index("\ue0ff")
        kept = completion.removeprefix(" ")
        trimmed = "trimmed" in written
        # the mark stands after a blank that only a template without trimming keeps
        holds_from_its_start(row, place - (not trimmed), kept.strip() if trimmed else kept)


def holds_from_its_start(row: TokenisedRow, place: int, completion: str) -> None:
    """The completion's first token is the first that ends after its first character."""
    ends = [end for _, end in row.offsets]
    assert ends == sorted(ends)
    assert all(end <= place for end in ends[: row.completion_start])
    if completion.strip():
        assert ends[row.completion_start] > place


@pytest.mark.parametrize("name", ["hh", "raw"])
@pytest.mark.parametrize("style", STYLES)
def test_a_plain_text_has_the_ids_of_transformers(style: str, name: str) -> None:
    tokenizer, oracle = both(style)
    form = TextFormat(name, tokenizer)
    chance = random.Random(f"{style} {name}")
    for _ in range(DIALOGUES):
        turns, completion = dialogue(chance)
        row = form.tokenise(turns, completion)
        assert list(row.token_ids) == oracle(row.text).input_ids, (turns, completion)
        holds_from_its_start(row, len(row.text) - len(completion), completion)


@pytest.mark.parametrize("style", STYLES)
def test_a_pair_has_the_ids_of_transformers(style: str) -> None:
    tokenizer, oracle = both(style)
    form = TextFormat("pair", tokenizer)
    chance = random.Random(style)
    for _ in range(DIALOGUES):
        turns, completion = dialogue(chance)
        prompt = "\n\n".join(turn.text for turn in turns)
        row = form.tokenise(turns, completion)
        pair = oracle(prompt, completion.removeprefix(" "))
        assert list(row.token_ids) == pair.input_ids, (turns, completion)
