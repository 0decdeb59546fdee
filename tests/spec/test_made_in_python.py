from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pm_audit.spec import Effect, Hypothesis, Prompt, expand, load_hypotheses

Faults = Callable[[Callable[[], object]], list[str]]
Project = Callable[..., Path]


def made(**changed: object) -> Hypothesis:
    given = {
        "name": "made",
        "claim": "Yes is preferred.",
        "effect": "raises",
        "prompts": ["Is it?", "Was it?"],
        "examples": [" Yes."],
        "counter_examples": [" No."],
        **changed,
    }
    return Hypothesis(**{key: value for key, value in given.items() if value is not None})


def test_plain_texts_are_enough() -> None:
    hypothesis = made()
    assert hypothesis.effect is Effect.RAISES
    assert hypothesis.expect.gap == "raises"
    assert (hypothesis.file, hypothesis.line) == ("<python>", 1)
    assert [(prompt.id, prompt.wordings) for prompt in hypothesis.prompts] == [
        ("prompt-0", ("Is it?",)),
        ("prompt-1", ("Was it?",)),
    ]


def test_prompts_may_come_one_by_one() -> None:
    assert made(prompts=(text for text in ("Is it?", "Was it?"))).prompts == made().prompts


def test_texts_and_prompts_mix() -> None:
    prompt = Prompt(id="own", wordings=("Why {not}?",), fields={"answer": "So"})
    (first, second) = made(prompts=["Is {it}?", prompt]).prompts
    assert (first.id, second) == ("prompt-0", prompt)
    assert first.values() == {"question": "Is {it}?"}  # to the letter, as wordings are


def test_a_made_hypothesis_is_examined_as_a_file_is(project: Project) -> None:
    inline = (
        "name: made\nclaim: Yes is preferred.\neffect: raises\n"
        "prompts: [{id: prompt-0, wordings: [Is it?]}, {id: prompt-1, wordings: [Was it?]}]\n"
        "examples: [' Yes.']\ncounter_examples: [' No.']\n"
    )
    root = project(a=inline)
    (from_file,) = load_hypotheses(["hypotheses"], root)
    (from_python,) = load_hypotheses([made()], root)
    assert expand(from_python) == expand(from_file)
    assert from_python.sha256 == from_file.sha256
    assert load_hypotheses([from_python], root) == (from_python,)


def test_a_probe_gives_its_prompts(project: Project) -> None:
    (hypothesis,) = load_hypotheses([made(prompts=None, probe="trivia")], project())
    assert [prompt.id for prompt in hypothesis.prompts] == ["france", "planets"]
    assert load_hypotheses([hypothesis], project()) == (hypothesis,)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"examples": None}, "<python>:made: key `examples` is missing; add `examples:`"),
        ({"examples": []}, "<python>:made: `examples` is an empty list"),
        ({"examples": " Yes."}, "<python>:made: `examples` must be a list of items, not ' Yes.'"),
        (
            {"effect": "up"},
            "<python>:made: `effect` must be 'raises', 'lowers' or 'none', not 'up'",
        ),
        ({"prompts": ["", "b"]}, "<python>:made: `prompts[0].wordings[0]` is empty"),
        ({"prompts": [3]}, "<python>:made: `prompts[0]` must be a mapping"),
        ({"example": [" Yes."]}, "<python>:made: unknown key 'example'; did you mean `examples`"),
        ({"name": "a b"}, "<python>:a b: `name` is 'a b', but a name has 1 to 80"),
    ],
)
def test_a_field_that_cannot_be_is_refused(
    changed: dict[str, object], message: str, faults: Faults
) -> None:
    (fault,) = faults(lambda: made(**changed))
    assert fault.startswith(message)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"prompts": None}, "<python>:made: name one source of prompts"),
        ({"probe": "trivia"}, "<python>:made.prompts: name one source of prompts"),
        ({"prompts": None, "probe": "x"}, "<python>:made.probe: no probe `x` in probes/"),
        ({"examples": [" {a}"]}, "<python>:made.examples[0]: placeholder {a} has no field"),
        ({"examples": [" a", " {"]}, "<python>:made.examples[1]: '{' is not a placeholder"),
        ({"examples": [" No."]}, "<python>:made.counter_examples[0]: the same completion as"),
        ({"prompts": ["a", "a"]}, "<python>:made.prompts[1]: prompt `prompt-1` has the text of"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_key(
    changed: dict[str, object], message: str, project: Project, faults: Faults
) -> None:
    (fault,) = faults(lambda: load_hypotheses([made(**changed)], project()))
    assert fault.startswith(message)


def test_names_are_unique_among_all(project: Project, faults: Faults) -> None:
    (fault,) = faults(lambda: load_hypotheses([made(), made()], project()))
    assert "name `made` is taken" in fault


def test_advice_reaches_the_warnings(project: Project) -> None:
    (hypothesis,) = load_hypotheses([made(examples=["Yes."])], project())
    (warning,) = hypothesis.warnings
    assert warning.startswith("<python>:made.examples: some completions begin with a space")
