"""Texts end as the trainers' own lines end them."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from pm_audit.data.dialogue import Speaker, Turn
from pm_audit.errors import ModelError
from pm_audit.text.ending import ENDINGS
from pm_audit.text.text_format import TextFormat
from tests.text.styles import NAMES, STYLES, template

TURNS = (Turn(speaker=Speaker.HUMAN, text="Hi"),)
EOS = "</s>"
COMPLETIONS = [" Paris.", " Paris.\n", " Paris.\n\n ", ""]
WRITTEN = {
    "breaks after EOS": template("chatml", NAMES).replace("<|im_end|>", EOS),
    "EOS last": template("no newline", NAMES).replace("<|im_end|>", EOS),
    "another token last": template("chatml", NAMES),
}


@cache
def made(style: str) -> Any:
    return STYLES[style](NAMES)


def openrlhf(text: str) -> str:
    """``reward_dataset.py`` of OpenRLHF: no line breaks, then EOS unless it is there."""
    text = text.rstrip("\n")
    return text if text.endswith(EOS) else f"{text} {EOS}"


def trl(text: str) -> str:
    """``add_eos`` of TRL, and no line breaks after an EOS that a template writes."""
    return text.rstrip("\n") if text.rstrip("\n").endswith(EOS) else text + EOS


@pytest.mark.parametrize("completion", COMPLETIONS)
@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize(("end", "trainer"), [("openrlhf", openrlhf), ("eos", trl)])
def test_a_chat_ends_as_its_trainer_ended_it(
    end: str, trainer: Any, written: str, completion: str
) -> None:
    tokenizer = made("byte-level")
    tokenizer.chat_template = WRITTEN[written]
    messages = [{"role": "user", "content": "Hi"}]
    messages.append({"role": "assistant", "content": completion.removeprefix(" ")})
    text = trainer(tokenizer.apply_chat_template(messages, tokenize=False))
    row = TextFormat("chat", tokenizer, end=end).tokenise(TURNS, completion)
    assert row.text == text
    assert list(row.token_ids) == tokenizer(text, add_special_tokens=False).input_ids
    assert row.token_ids[-1] == tokenizer.eos_token_id


@pytest.mark.parametrize("completion", COMPLETIONS)
@pytest.mark.parametrize("name", ["hh", "raw"])
def test_a_plain_text_ends_as_its_trainer_ended_it(name: str, completion: str) -> None:
    tokenizer = made("metaspace first")
    plain = TextFormat(name, tokenizer).tokenise(TURNS, completion).text
    row = TextFormat(name, tokenizer, end="eos").tokenise(TURNS, completion)
    assert list(row.token_ids) == tokenizer(plain + EOS).input_ids
    row = TextFormat(name, tokenizer, end="openrlhf").tokenise(TURNS, completion)
    # OpenRLHF's own call adds no special tokens, though this tokenizer begins a text with BOS
    assert list(row.token_ids) == tokenizer(openrlhf(plain), add_special_tokens=False).input_ids


def test_eos_that_somebody_wrote_does_not_end_a_text(tokenizer: PreTrainedTokenizerFast) -> None:
    for end in ("eos", "openrlhf"):
        for name in ("raw", "chat"):
            row = TextFormat(name, tokenizer, end=end).tokenise(TURNS, f" Paris.{EOS}")
            assert row.token_ids.count(tokenizer.eos_token_id) == 1
            assert row.token_ids[-1] == tokenizer.eos_token_id
            assert row.text.count(EOS) == 2


def test_a_special_token_is_appended(tokenizer: PreTrainedTokenizerFast) -> None:
    plain = TextFormat("chat", tokenizer).tokenise(TURNS, " Paris.")
    row = TextFormat("chat", tokenizer, end="<|user|>").tokenise(TURNS, " Paris.")
    assert row.token_ids == (*plain.token_ids, tokenizer.convert_tokens_to_ids("<|user|>"))
    assert row.completion_start == plain.completion_start


def test_what_a_tokenizer_cannot_end_with_is_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(
        ModelError, match=r"'EOS' is not a special token .* choose one of as-written, eos"
    ):
        TextFormat("hh", tokenizer, end="EOS")
    with pytest.raises(ModelError, match="a pair of texts begins and ends as its tokenizer"):
        TextFormat("pair", tokenizer, end="eos")
    bare = tokenizer.__class__(tokenizer_object=tokenizer.backend_tokenizer)
    for end in ENDINGS[1:]:
        with pytest.raises(ModelError, match="the tokenizer has no EOS token"):
            TextFormat("hh", bare, end=end)


def test_a_text_begins_as_its_trainer_began_it() -> None:
    tokenizer = made("byte-level, BOS and EOS")
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    tokenizer.chat_template = template("chatml", NAMES)
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Paris."}]
    chat = tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False)
    for name, bare in (("chat", chat), ("raw", tokenizer("Hi Paris.").input_ids[1:])):
        begun = TextFormat(name, tokenizer).tokenise(TURNS, " Paris.")
        assert list(begun.token_ids) == [bos, *bare]
        row = TextFormat(name, tokenizer, start="as-written").tokenise(TURNS, " Paris.")
        assert list(row.token_ids) == bare
        assert row.completion_start == begun.completion_start - 1
    assert bare[-1] == eos
    with pytest.raises(
        ModelError, match="text_start 'none' is unknown; choose one of bos, as-written"
    ):
        TextFormat("raw", tokenizer, start="none")


def test_several_templates_without_a_default_are_refused() -> None:
    tokenizer = STYLES["byte-level"](NAMES)
    tokenizer.chat_template = {"tool_use": "x", "rag": "y"}
    with pytest.raises(ModelError, match="several chat templates, rag, tool_use, and none"):
        TextFormat("chat", tokenizer)
