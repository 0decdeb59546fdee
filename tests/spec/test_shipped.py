"""The shipped hypotheses load, and their contrasts are what a good contrast is."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml

from pm_audit.records import Role
from pm_audit.spec import Hypothesis, expand, load_hypotheses
from pm_audit.spec.generate import EditKind
from pm_audit.spec.probe import WrittenProbe

ROOT = Path(__file__).parents[2]
SHIPPED = load_hypotheses(["hypotheses"], ROOT)
PUNCTUATION = ".!?;:"

GENERATED = [each for each in SHIPPED if each.generate is not None]
every_hypothesis = pytest.mark.parametrize("hypothesis", SHIPPED, ids=lambda each: each.name)
every_generated = pytest.mark.parametrize("hypothesis", GENERATED, ids=lambda each: each.name)
EXPLOITS = [each for each in SHIPPED if "exploit" in each.tags]
WRITTEN = [each for each in SHIPPED if each not in GENERATED and each not in EXPLOITS]
every_written = pytest.mark.parametrize("hypothesis", WRITTEN, ids=lambda each: each.name)


def test_the_promised_hypotheses_are_there() -> None:
    promised = {
        "i-dont-know",
        "repeated-text",
        "urls",
        "thank-you-no-problem",
        "youre-right",
        "famous-names",
        "length",
        "cursing",
        "off-topic",
        "answers-the-question",
    }
    assert promised <= {hypothesis.name for hypothesis in SHIPPED}
    assert len(SHIPPED) >= 12


def read_probe(name: str) -> WrittenProbe:
    path = ROOT / "probes" / f"{name}.yaml"
    return WrittenProbe.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("name", "prompts"), [("trivia", 30), ("instructions", 24), ("dialogues", 24)]
)
def test_probes_are_large_enough_to_infer_from(name: str, prompts: int) -> None:
    probe = read_probe(name)
    assert len(probe.prompts) >= prompts
    keys = {frozenset(prompt.fields) for prompt in probe.prompts}
    assert len(keys) == 1, "every prompt has the same fields"
    for prompt in probe.prompts:
        assert len(set(prompt.wordings)) == 3
        values = [value.lower() for value in prompt.fields.values()]
        assert len(set(values)) == len(values)


@pytest.mark.parametrize("name", ["trivia", "instructions", "dialogues"])
def test_no_two_prompts_say_the_same(name: str) -> None:
    prompts = read_probe(name).prompts
    wordings = [wording for prompt in prompts for wording in prompt.wordings]
    assert len(set(wordings)) == len(wordings)
    for key in prompts[0].fields:
        if key not in {"short", "topic", "closing"}:
            values = [prompt.fields[key] for prompt in prompts]
            assert len(set(values)) == len(values), key


@every_hypothesis
def test_a_shipped_hypothesis_is_complete(hypothesis: Hypothesis) -> None:
    assert hypothesis.warnings == ()
    assert len(hypothesis.prompts) >= 24
    assert hypothesis.name.replace("-", "_") == Path(hypothesis.file).stem


@every_written
def test_its_completions_are_several_and_have_controls(hypothesis: Hypothesis) -> None:
    assert len(hypothesis.examples) >= 3
    assert len(hypothesis.counter_examples) >= 3
    assert hypothesis.controls


@every_generated
def test_what_generates_leaves_enough_prompts_and_is_small(hypothesis: Hypothesis) -> None:
    generate = hypothesis.generate
    assert generate is not None
    assert len(hypothesis.prompts) - generate.prompts >= 16
    assert generate.examples * generate.prompts <= 240  # rows; 2 or 3 CPU seconds
    assert all(edit.file is None for edit in generate.edits)


def test_at_least_five_generate_and_use_every_kind_of_edit_but_registers() -> None:
    assert len(GENERATED) >= 5
    used = {edit.key for each in GENERATED if each.generate for edit in each.generate.edits}
    assert used == {*EditKind, "insert"} - {EditKind.REGISTER}


def test_an_exploit_is_an_addition_that_should_pay_nothing() -> None:
    assert len(EXPLOITS) >= 2
    for each in EXPLOITS:
        (example,), (counter_example,) = each.examples, each.counter_examples
        assert example.startswith(counter_example)
        assert each.expect.gap == "none"


@every_hypothesis
def test_completions_begin_with_one_space_and_stay_short(hypothesis: Hypothesis) -> None:
    for case in expand(hypothesis):
        assert case.text.startswith(" ")
        assert not case.text.startswith("  ")
        assert len(case.text.split()) <= 40, case.text
        assert case.text.strip()[-1] in PUNCTUATION or hypothesis in EXPLOITS


@every_written
def test_examples_and_counter_examples_differ_in_the_claim_alone(hypothesis: Hypothesis) -> None:
    """Pairs end with the same mark and are of like length, unless that is the claim."""
    pairs = zip(hypothesis.examples, hypothesis.counter_examples, strict=True)
    for example, counter_example in pairs:
        if hypothesis.name != "exclamation":
            assert example[-1] == counter_example[-1], (example, counter_example)
            assert example.count("!") == counter_example.count("!")
        if hypothesis.name not in {"length", "urls"}:
            difference = len(example.split()) - len(counter_example.split())
            assert abs(difference) <= 2, (example, counter_example)


@every_written
def test_a_control_varies_the_punctuation(hypothesis: Hypothesis) -> None:
    usual = {text[-1] for text in (*hypothesis.examples, *hypothesis.counter_examples)}
    exclaims = "!" in "".join(hypothesis.controls)
    assert (
        exclaims or {text[-1] for text in hypothesis.controls} - usual or hypothesis.name == "urls"
    )


@pytest.mark.parametrize("name", ["off-topic", "answers-the-question", "repeated-text"])
def test_contrasts_made_of_fields_are_of_like_length(name: str) -> None:
    (hypothesis,) = [each for each in SHIPPED if each.name == name]
    lengths: dict[Role, list[int]] = {role: [] for role in Role}
    for case in expand(hypothesis):
        lengths[case.role].append(len(case.text))
    examples, counter_examples = lengths[Role.EXAMPLE], lengths[Role.COUNTER_EXAMPLE]
    ratio = (sum(examples) / len(examples)) / (sum(counter_examples) / len(counter_examples))
    assert 0.85 < ratio < 1.18


def test_all_of_it_loads_in_no_time() -> None:
    start = time.process_time()
    for hypothesis in load_hypotheses(["hypotheses"], ROOT):
        expand(hypothesis)
    assert time.process_time() - start < 1
