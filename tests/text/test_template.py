"""Templates that edit what they see: followed where it is clear what they wrote, else refused."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from pm_audit.data.dialogue import Speaker, Turn
from pm_audit.errors import ModelError
from pm_audit.text.text_format import TextFormat, TokenisedRow
from tests.text.styles import NAMES, STYLES, template

CHATML = template("chatml", NAMES)
CONTENT = "m['content']"
ROLES = {"system": Speaker.SYSTEM, "user": Speaker.HUMAN, "assistant": Speaker.ASSISTANT}
TEMPLATES = {
    "chatml": CHATML,
    "strips line breaks": CHATML.replace(CONTENT, "m['content'].lstrip('\\n')"),
    "thinks before the last answer": CHATML.replace(
        CONTENT, "('<think>\\n\\n</think>\\n\\n' if loop.last else '') + m['content'].lstrip('\\n')"
    ),
    "cuts thinking": CHATML.replace(CONTENT, "m['content'].split('</think>')[-1].lstrip('\\n')"),
    "JSON": CHATML.replace(CONTENT, "m | tojson"),
    "escaped JSON": CHATML.replace(CONTENT, "m['content'] | tojson(ensure_ascii=True)"),
    "a header by length": CHATML.replace(
        "m['role']", "m['role'] + (' long' if m['content'] | length > 40 else '')"
    ),
    "drops carriage returns": CHATML.replace(CONTENT, "m['content'] | replace('\\r', '')"),
    "upper case": CHATML.replace(CONTENT, "m['content'] | upper"),
    "system put last": "{% set s = messages[0]['content'] if messages[0]['role'] == 'system' else "
    "'' %}{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] }}"
    "{% if loop.revindex == 2 %}{{ s }}{% endif %} [/INST]{% elif m['role'] == 'assistant' %}"
    " {{ m['content'] + eos_token }}{% endif %}{% endfor %}",
    "drops early answers": "{% for m in messages %}{% if loop.last or m['role'] != 'assistant' %}"
    "{{ m['role'] + ': ' + m['content'] + '\n' }}{% endif %}{% endfor %}",
}
DIALOGUES: dict[str, tuple[list[tuple[str, str]], str]] = {
    "plain": ([("user", "What is the capital of France?")], " Paris."),
    "long": ([("user", "Hi")], " The sea keeps its own time, and lends it to the shore. Twice."),
    "blanks after": ([("user", "Hi")], " Paris.  "),
    "line breaks before": ([("user", "Hi")], "\n\nParis."),
    "thinking": ([("user", "Hi")], " <think>\nlet me\n</think>\n\nParis."),
    "thought before": (
        [("user", "Hi"), ("assistant", "<think>\nhm\n</think>\n\nYes"), ("user", "Go on")],
        " Paris.",
    ),
    "system": ([("system", "Be kind."), ("user", "Hi")], " Paris."),
    "said twice": ([("user", "Paris.")], " Paris."),
    "quotes": ([("user", 'a "b"')], ' c "d"\n\u00e9'),
    "carriage return": ([("user", "a\r\nb")], " c\r\nd"),
    "like a template": ([("user", "user\nHi")], " assistant\nuser\nHi\nassistant\n"),
    "marks": ([("user", "\ue0000\ue000")], " \ue0001\ue000 \ue000"),
    "nothing": ([("user", "Hi")], ""),
}


@cache
def form_of(written: str) -> TextFormat:
    tokenizer = STYLES["byte-level"](NAMES)
    tokenizer.chat_template = written
    return TextFormat("chat", tokenizer)


def tokenise(form: TextFormat, turns: list[tuple[str, str]], completion: str) -> TokenisedRow:
    said = tuple(Turn(speaker=ROLES[role], text=text) for role, text in turns)
    return form.tokenise(said, completion)


def library(tokenizer: Any, turns: list[tuple[str, str]], completion: str) -> list[int]:
    said = [*turns, ("assistant", completion.removeprefix(" "))]
    messages = [{"role": role, "content": text} for role, text in said]
    ids: list[int] = tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False)
    return ids


@pytest.mark.parametrize("named", DIALOGUES)
@pytest.mark.parametrize("written", TEMPLATES)
def test_an_edit_is_followed_to_the_letter(written: str, named: str) -> None:
    form = form_of(TEMPLATES[written])
    turns, completion = DIALOGUES[named]
    if (written, named) == ("escaped JSON", "marks"):
        # written as escapes, marks and text begin alike
        with pytest.raises(ModelError, match="in place of the completion"):
            tokenise(form, turns, completion)
        return
    row = tokenise(form, turns, completion)
    assert list(row.token_ids) == library(form.tokenizer, turns, completion)


def begins(row: TokenisedRow) -> str:
    return row.text[row.offsets[row.completion_start][0] :]


@pytest.mark.parametrize(
    ("written", "completion", "beginning"),
    [
        ("chatml", " assistant\nParis", "assistant\nParis<|im_end|>"),
        ("cuts thinking", " <think>\nParis\n</think>\n\nParis.", "Paris.<|im_end|>"),
        ("a header by length", " long\n" + "Paris " * 9, "long\nParis"),
        ("thinks before the last answer", "\n\nParis.", "Paris.<|im_end|>"),
        ("escaped JSON", " Par\u00e9\nis", "Par\\u00e9\\nis"),
        ("JSON", " a\nb", "a\\nb"),
        ("upper case", " Paris 17", ("PARIS 17")),
        ("strips line breaks", "\n<|im_end|>\n", "<|im_end|>\n<|im_end|>"),
    ],
)
def test_the_completion_begins_where_its_text_does(
    written: str, completion: str, beginning: str
) -> None:
    row = tokenise(form_of(TEMPLATES[written]), [("user", "long\nParis")], completion)
    assert begins(row).startswith(beginning)


def test_an_edit_makes_no_special_token() -> None:
    form = form_of(TEMPLATES["drops carriage returns"])
    for text in ("<|im_\rend|>", "<|im_end|> <|im_\rend|>"):
        with pytest.raises(ModelError, match="special token"):
            tokenise(form, [("user", "Hi")], f" ok {text}")
        with pytest.raises(ModelError, match="special token"):
            tokenise(form, [("user", f"a{text}")], " ok")


def test_special_text_that_an_edit_leaves_is_text() -> None:
    form = form_of(TEMPLATES["cuts thinking"])
    row = tokenise(form, [("user", "Hi")], " <think>x</think><|im_end|> ok")
    end = form.tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert row.token_ids.count(end) == 2
    assert begins(row).startswith("<|im_end|> ok<|im_end|>")


def test_special_tokens_by_what_a_text_says_are_refused() -> None:
    header = "('<|role|>' if m['content'] | length > 20 else '')"
    form = form_of(CHATML.replace("m['role']", header))
    turns = [("user", "Hi")]
    assert list(tokenise(form, turns, " No.").token_ids) == library(form.tokenizer, turns, " No.")
    with pytest.raises(ModelError, match=r"writes special tokens \(<\|role\|>\) by what 'The sea"):
        tokenise(form, turns, " The sea keeps its own time")


def test_a_text_of_private_characters_finds_a_mark_beyond_them(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    every = "".join(map(chr, range(0xE000, 0xF900)))
    row = TextFormat("chat", tokenizer).tokenise(
        (Turn(speaker=Speaker.HUMAN, text="Hi"),), f" {every}"
    )
    assert every in row.text
