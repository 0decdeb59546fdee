"""Where a completion's own tokens end and those of its format begin."""

from __future__ import annotations

import random

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from pm_audit.data.dialogue import Dialogue, Speaker, Turn
from pm_audit.text.ending import ENDINGS
from pm_audit.text.text_format import LAYOUTS, TextFormat, TokenisedRow
from tests.text.styles import NAMES, STYLES, TEMPLATES, template
from tests.text.test_library_ids import WORDS, both

QUESTION: Dialogue = (Turn(speaker=Speaker.HUMAN, text="What is it?"),)
BYTES = [style for style in STYLES if style.startswith("byte-level") and "prefix" not in style]
APART = ("chatml", "no newline", "headers, trimmed", "hh", "raw", "beaver", "ultra")
"""Formats whose own text after a completion no tokenizer merges with it."""


def form(style: str, written: str) -> TextFormat:
    tokenizer, _ = both(style)
    if written in LAYOUTS:
        return TextFormat(written, tokenizer)
    tokenizer.chat_template = template(written, NAMES)
    return TextFormat("chat", tokenizer)


def after(row: TokenisedRow) -> tuple[int, ...]:
    return row.token_ids[row.completion_stop :]


@pytest.mark.parametrize("written", [*TEMPLATES, "hh", "ultra"])
@pytest.mark.parametrize("style", BYTES)
def test_what_follows_a_completion_decodes_to_what_its_format_wrote(
    style: str, written: str
) -> None:
    # bytes decode to the text that they came from, whatever offsets a tokenizer gives
    chosen, chance = form(style, written), random.Random(f"{style} {written}")
    for completion in [
        " ok",
        " ok \n",
        " ok  ",
        " x\n\n",
        " \n",
        " \u00e9",
        *chance.choices(WORDS, k=20),
    ]:
        row = chosen.tokenise(QUESTION, " Yes" + completion)
        end = row.text[row.text.rindex("Yes") :]
        if written == "headers, trimmed":
            completion = completion.rstrip()
        rest = len(end.removeprefix("Yes" + completion))
        kept = row.token_ids[: len(row.token_ids) - (chosen.framed and style.endswith("EOS"))]
        most = max(
            count
            for count in range(len(kept))
            if len(chosen.tokenizer.decode(kept[len(kept) - count :])) <= rest
        )
        assert len(after(row)) == most + len(row.token_ids) - len(kept), repr(completion)


@pytest.mark.parametrize("written", APART)
@pytest.mark.parametrize("style", STYLES)
def test_completions_of_one_format_end_alike(style: str, written: str) -> None:
    chosen = form(style, written)
    texts = ("", " Paris", " I do not know", " 17 joke", " the sea keeps")
    rows = [chosen.tokenise(QUESTION, text) for text in texts]
    assert len({after(row) for row in rows}) == 1
    assert rows[0].completion_start == rows[0].completion_stop
    for row in rows:
        assert row.completion_stop is not None
        last = row.offsets[: row.completion_stop][-1][1]
        assert all(last <= first for first, _ in row.offsets[row.completion_stop :])


@pytest.mark.parametrize("end", ENDINGS)
def test_an_ending_is_the_formats_own(tokenizer: PreTrainedTokenizerFast, end: str) -> None:
    chosen = TextFormat("hh", tokenizer, end=end)
    rows = [chosen.tokenise(QUESTION, text) for text in (" Paris.", " I do not know.  ")]
    written = {"as-written": "", "eos": "</s>", "openrlhf": " </s>"}[end]
    assert [tokenizer.decode(after(row)) for row in rows] == [written, written]


def test_appended_tokens_are_the_formats_own(tokenizer: PreTrainedTokenizerFast) -> None:
    row = TextFormat("raw", tokenizer, appended=(5, 6)).tokenise(QUESTION, " Paris. ")
    assert after(row) == (5, 6)


def test_the_second_text_of_a_pair_ends_before_the_separator() -> None:
    words = {"[CLS]": 0, "[SEP]": 1, "what": 2, "paris": 3, "it": 4, "[UNK]": 5}
    rules = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    rules.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    rules.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[("[CLS]", 0), ("[SEP]", 1)],
    )
    chosen = TextFormat("pair", PreTrainedTokenizerFast(tokenizer_object=rules))
    turns = (Turn(speaker=Speaker.HUMAN, text="what"),)
    for text, own in ((" paris it", (3, 4)), (" paris  ", (3,))):
        row = chosen.tokenise(turns, text)
        assert row.token_ids[row.completion_start : row.completion_stop] == own
        assert after(row) == (1,)


def test_a_token_over_the_border_is_the_completions() -> None:
    vocabulary = {"a": 0, "b": 1, "ab": 2, "\n": 3, "b\n": 4}
    rules = Tokenizer(models.BPE(vocab=vocabulary, merges=[("b", "\n")]))
    merging = PreTrainedTokenizerFast(tokenizer_object=rules)
    merging.chat_template = "{% for m in messages %}{{ m['content'] + '\n\n' }}{% endfor %}"
    chosen = TextFormat("chat", merging)
    turns = (Turn(speaker=Speaker.HUMAN, text="a"),)
    merged, apart = (chosen.tokenise(turns, text) for text in (" ab", " aba"))
    assert merged.token_ids[merged.completion_start :] == (0, 4, 3)
    assert after(merged) == (3,)
    assert apart.token_ids[apart.completion_start :] == (0, 1, 0, 3, 3)
    assert after(apart) == (3, 3)
