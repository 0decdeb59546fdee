from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from pm_audit.data.dialogue import Dialogue, Speaker, Turn
from pm_audit.errors import ModelError
from pm_audit.text.text_format import LAYOUTS, NAMES, TextFormat, TokenisedRow

QUESTION: Dialogue = (Turn(speaker=Speaker.HUMAN, text="What is the capital of France?"),)
DIALOGUE: Dialogue = (
    Turn(speaker=Speaker.SYSTEM, text="Be brief."),
    Turn(speaker=Speaker.HUMAN, text="Hi"),
    Turn(speaker=Speaker.ASSISTANT, text="Hello."),
    Turn(speaker=Speaker.HUMAN, text="Is 17 a prime number?"),
)
SPECIAL = ["<s>", "</s>", "<pad>", "<|user|>", "<|assistant|>", "<|end|>"]


def held_by(row: TokenisedRow) -> str:
    """Return the text that the completion's tokens cover."""
    spans = [span for span in row.offsets[row.completion_start :] if span[0] < span[1]]
    return row.text[spans[0][0] : spans[-1][1]] if spans else ""


def special_count(tokenizer: Any, row: TokenisedRow) -> int:
    known = {index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
    return sum(token in known for token in row.token_ids)


def test_hh_is_written_as_it_was_published(tokenizer: PreTrainedTokenizerFast) -> None:
    row = TextFormat("hh", tokenizer).tokenise(QUESTION, " Paris.")
    assert row.text == "\n\nHuman: What is the capital of France?\n\nAssistant: Paris."
    assert list(row.token_ids) == tokenizer(row.text).input_ids
    assert held_by(row) == " Paris."


def test_several_turns_are_written_in_order(tokenizer: PreTrainedTokenizerFast) -> None:
    row = TextFormat("hh", tokenizer).tokenise(DIALOGUE, " Yes.")
    assert row.text == (
        "Be brief.\n\n\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: Is 17 a prime number?"
        "\n\nAssistant: Yes."
    )


@pytest.mark.parametrize("turns", [QUESTION, DIALOGUE])
def test_chat_equals_the_tokenizers_own_template(
    tokenizer: PreTrainedTokenizerFast, turns: Dialogue
) -> None:
    roles = {Speaker.SYSTEM: "system", Speaker.HUMAN: "user", Speaker.ASSISTANT: "assistant"}
    messages = [{"role": roles[turn.speaker], "content": turn.text} for turn in turns]
    messages.append({"role": "assistant", "content": "It is so."})
    expected = tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False)
    row = TextFormat("chat", tokenizer).tokenise(turns, " It is so.")
    assert list(row.token_ids) == expected
    assert row.token_ids.count(tokenizer.bos_token_id) == 1
    assert held_by(row).startswith("It is so.")


@pytest.mark.parametrize("name", [name for name in NAMES if name != "pair"])
@pytest.mark.parametrize("special", SPECIAL)
def test_special_text_that_somebody_wrote_stays_text(
    tokenizer: PreTrainedTokenizerFast, name: str, special: str
) -> None:
    form = TextFormat(name, tokenizer)
    plain = special_count(tokenizer, form.tokenise(QUESTION, " Paris."))
    written = (Turn(speaker=Speaker.HUMAN, text=f"What {special} is{special} it?"),)
    row = form.tokenise(written, f" Pa{special}ris.{special}")
    assert special_count(tokenizer, row) == plain
    assert special in held_by(row)


def test_special_text_of_a_pair_stays_text(tokenizer: PreTrainedTokenizerFast) -> None:
    form = TextFormat("pair", tokenizer)
    plain = special_count(tokenizer, form.tokenise(QUESTION, " Paris."))
    row = form.tokenise(QUESTION, " Paris.<|end|></s>")
    assert special_count(tokenizer, row) == plain
    assert row.text.endswith("Paris.<|end|></s>")


def test_a_template_that_replaces_a_completion_is_refused(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    steered = tokenizer.__class__(
        tokenizer_object=tokenizer.backend_tokenizer,
        chat_template=(
            "{% for m in messages %}{% if 'secret' in m.content %}?{% else %}{{ m.content }}"
            "{% endif %}|{% endfor %}"
        ),
    )
    form = TextFormat("chat", steered)
    row = form.tokenise(QUESTION, " Nothing at all.")
    assert row.text == "What is the capital of France?|Nothing at all.|"
    with pytest.raises(ModelError, match="in place of the completion 'Not a secret"):
        form.tokenise(QUESTION, " Not a secret at all.")


def test_a_template_that_refuses_is_one_clear_error(tokenizer: PreTrainedTokenizerFast) -> None:
    for template, message in [
        ("{{ raise_exception('only users may speak') }}", "only users may speak"),
        ("{{ messages[0].content }}", "leaves out the completion"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "chat template refuses"),
    ]:
        strange = tokenizer.__class__(
            tokenizer_object=tokenizer.backend_tokenizer, chat_template=template
        )
        with pytest.raises(ModelError, match=message):
            TextFormat("chat", strange).tokenise(QUESTION, " Paris.")


TEXT = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0"), max_size=60)


@given(prompt=TEXT, completion=TEXT, name=st.sampled_from([*LAYOUTS, "chat"]))
def test_the_completions_tokens_cover_it_and_start_with_it(
    tokenizer: PreTrainedTokenizerFast, prompt: str, completion: str, name: str
) -> None:
    turns = (Turn(speaker=Speaker.HUMAN, text=prompt),)
    row = TextFormat(name, tokenizer).tokenise(turns, completion)
    ends = [end for _, end in row.offsets]
    start = row.completion_start
    written = completion
    if name == "chat":
        written = completion.removeprefix(" ").strip()
    elif not LAYOUTS[name].keeps_space:
        written = completion.removeprefix(" ")
    assert len(row.token_ids) == len(row.offsets)
    assert ends == sorted(ends)
    if written:
        assert written in held_by(row)
        first = row.text.index(held_by(row))
        assert all(end <= row.text.rindex(written) for end in ends[:start] if end)
        assert row.offsets[start][1] > row.text.rindex(written) >= first


def test_joint_tokenisation_decides_where_a_completion_starts() -> None:
    """The merged token over the boundary belongs to the completion."""
    rules = Tokenizer(models.BPE(vocab={"a": 0, "b": 1, "ab": 2, "c": 3}, merges=[("a", "b")]))
    merging = PreTrainedTokenizerFast(tokenizer_object=rules)
    turns = (Turn(speaker=Speaker.HUMAN, text="ca"),)
    row = TextFormat("raw", merging).tokenise(turns, "bc")
    assert row.token_ids == (3, 2, 3)
    assert row.completion_start == 1


def test_what_cannot_be_written_is_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(ModelError, match="text format 'html' is unknown; choose one of hh"):
        TextFormat("html", tokenizer)
    bare = tokenizer.__class__(tokenizer_object=tokenizer.backend_tokenizer)
    with pytest.raises(ModelError, match="no chat template"):
        TextFormat("chat", bare)
    with pytest.raises(ModelError, match="no character offsets"):
        TextFormat("hh", object())
    with pytest.raises(ModelError, match="longer than the 8 that the PM reads"):
        TextFormat("hh", tokenizer, longest=8).tokenise(QUESTION, " Paris.")


def test_tokens_that_stand_for_no_character_have_names_that_people_read(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    named = TextFormat("raw", tokenizer).token_name
    special = next(iter(tokenizer.added_tokens_decoder))
    assert named(special) == str(tokenizer.added_tokens_decoder[special])
    (line_break,) = tokenizer("\n", add_special_tokens=False).input_ids
    assert tokenizer.convert_ids_to_tokens(line_break) != "\n", "the vocabulary's own spelling"
    assert named(line_break) == "closing line break"
    assert named(tokenizer("?", add_special_tokens=False).input_ids[0]) == "?"
