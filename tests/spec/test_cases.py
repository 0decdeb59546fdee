from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pm_audit.records import Role
from pm_audit.spec import Hypothesis, Prompt, Speaker, Turn, expand
from pm_audit.spec.faults import MOST_CASES, misfits, turn_faults
from pm_audit.spec.written import WrittenTurn

PROMPTS = (
    Prompt(id="a", wordings=("A?", "A, please?"), fields={"answer": "{answer} of A"}),
    Prompt(id="b", wordings=("B?",), fields={"answer": "B"}),
)


def build(**changes: object) -> Hypothesis:
    given_fields: dict[str, object] = {
        "name": "h",
        "claim": "c",
        "effect": "raises",
        "probe": "p",
        "prompts": PROMPTS,
        "file": "h.yaml",
        "examples": (" yes", " {answer}!"),
        "counter_examples": (" no",),
        "controls": (" {{}}",),
    }
    return Hypothesis.model_validate(given_fields | changes)


def test_each_prompt_meets_each_completion() -> None:
    cases = expand(build())
    assert [(case.prompt_id, case.role, case.variant, case.text) for case in cases[:4]] == [
        ("a", Role.EXAMPLE, 0, " yes"),
        ("a", Role.EXAMPLE, 1, " {answer} of A!"),
        ("a", Role.COUNTER_EXAMPLE, 0, " no"),
        ("a", Role.CONTROL, 0, " {}"),
    ]
    assert [case.prompt for case in cases] == [0] * 4 + [1] * 4
    assert cases[4].turns == (Turn(speaker=Speaker.HUMAN, text="B?"),)


def test_all_wordings_of_a_prompt_are_one_unit() -> None:
    cases = expand(build(wordings="all"))
    seen = [(case.prompt, case.wording, case.turns[0].text) for case in cases[::4]]
    assert seen == [(0, 0, "A?"), (0, 1, "A, please?"), (1, 0, "B?")]


def test_turns_are_filled_in() -> None:
    turns = (
        WrittenTurn(system="Be {answer}."),
        WrittenTurn(human="{question}"),
        WrittenTurn(assistant="{answer}"),
        WrittenTurn(human="{{why}}?"),
    )
    prompts = tuple(prompt.model_copy(update={"turns": turns}) for prompt in PROMPTS)
    case = expand(build(prompts=prompts))[-1]
    assert [(turn.speaker.value, turn.text) for turn in case.turns] == [
        ("system", "Be B."),
        ("human", "B?"),
        ("assistant", "B"),
        ("human", "{why}?"),
    ]


@given(st.text(min_size=1, max_size=40), st.text(min_size=1, max_size=40))
def test_text_is_kept_to_the_letter(completion: str, value: str) -> None:
    prompt = Prompt(id="a", wordings=(value,), fields={"field": value})
    escaped = completion.replace("{", "{{").replace("}", "}}")
    hypothesis = build(prompts=(prompt,), examples=(escaped + "{field}",), counter_examples=("no",))
    case = expand(hypothesis)[0]
    assert case.text == completion + value
    assert case.turns[0].text == value


def test_what_does_not_fit_is_named() -> None:
    hypothesis = build(examples=(" {answr}", " {"), counter_examples=(" fine",))
    found = dict(misfits(hypothesis, PROMPTS))
    assert set(found) == {"examples.0", "examples.1"}
    assert "has no field in prompt `a`, which has {answer}, {question}" in found["examples.0"]


def test_a_field_that_one_prompt_lacks_is_found() -> None:
    lacking = (*PROMPTS, Prompt(id="c", wordings=("C?",)))
    ((key, message),) = misfits(build(counter_examples=(" no",)), lacking)
    assert key == "examples.1"
    assert "prompt `c`" in message


def test_too_many_cases_are_refused_before_they_are_built() -> None:
    prompts = tuple(Prompt(id=f"p{n}", wordings=("?",)) for n in range(MOST_CASES // 4 + 1))
    hypothesis = build(examples=(" a", " b"), controls=(" c",))
    ((key, message),) = misfits(hypothesis, prompts)
    assert key == "name"
    assert "20,004 cases" in message
    assert not list(misfits(hypothesis, prompts[:-1]))


def test_text_beyond_measure_is_refused_before_it_is_built() -> None:
    long = (Prompt(id="p", wordings=("?",), fields={"a": "x" * 60_000}),)
    hypothesis = build(examples=(" {a}{a}",), controls=(" c",))
    ((key, message),) = misfits(hypothesis, long)
    assert key == "examples.0"
    assert "longer than 65,536 characters" in message
    many = tuple(long[0].model_copy(update={"id": f"p{n}"}) for n in range(300))
    ((key, message),) = misfits(build(examples=(" {a}",), controls=(" c",)), many)
    assert key == "name"
    assert "characters of text" in message


@pytest.mark.parametrize(
    ("speakers", "wrong"),
    [
        (["human"], None),
        (["system", "human"], None),
        (["human", "assistant", "human"], None),
        (["human", "assistant"], 1),
        (["human", "system", "human"], 1),
        (["system"], 0),
    ],
)
def test_a_prompt_ends_with_the_human(speakers: list[str], wrong: int | None) -> None:
    turns = tuple(WrittenTurn.model_validate({speaker: "text"}) for speaker in speakers)
    faults = [key for key, _ in turn_faults(turns)]
    assert faults == ([] if wrong is None else [f"turns.{wrong}"])


def test_the_hash_changes_with_what_matters_and_with_nothing_else() -> None:
    hashes = [
        build().sha256,
        build(prompts=PROMPTS[:1]).sha256,
        build(examples=(" yes!",)).sha256,
        build(expect={"closure": 0.6}).sha256,
        build(wordings="all").sha256,
    ]
    assert all(one != other for one, other in itertools.combinations(hashes, 2))
    assert build(file="other.yaml", line=9, warnings=("w",)).sha256 == hashes[0]
