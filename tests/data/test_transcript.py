from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pm_audit.data import Speaker, Turn
from pm_audit.data.transcript import read_prompt, read_side

SPEAKERS = {Speaker.HUMAN: "Human", Speaker.ASSISTANT: "Assistant"}

said = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(
    lambda text: "Human:" not in text and "Assistant:" not in text
)
turns = st.lists(said, min_size=1, max_size=6)


def written(texts: list[str]) -> str:
    speakers = list(SPEAKERS.values())
    return "".join(f"\n\n{speakers[at % 2]}: {text}" for at, text in enumerate(texts))


def as_turns(texts: list[str]) -> tuple[Turn, ...]:
    speakers = list(SPEAKERS)
    return tuple(Turn(speaker=speakers[at % 2], text=text) for at, text in enumerate(texts))


@given(turns, said)
def test_a_transcript_gives_its_turns_to_the_letter(texts: list[str], answer: str) -> None:
    before = texts if len(texts) % 2 else texts[:-1] or ["q"]
    (side,) = read_side(written([*before, answer]), "chosen")
    assert (side.before, side.text) == (as_turns(before), answer)


@given(turns)
def test_a_prompt_may_end_before_the_answer_begins(texts: list[str]) -> None:
    before = texts if len(texts) % 2 else texts[:-1] or ["q"]
    assert read_prompt(written(before) + "\n\nAssistant:", "prompt") == as_turns(before)


@given(said)
def test_a_text_without_speakers_is_one_question(text: str) -> None:
    assert read_prompt(text, "prompt") == (Turn(speaker=Speaker.HUMAN, text=text),)
