"""``generate:`` of a hypothesis: what is read, and every fault at its line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pm_audit.records import Role
from pm_audit.spec import Effect, ExpectedGap, Hypothesis, expand, load_hypotheses
from pm_audit.spec.generate import PHRASED, EditKind
from pm_audit.spec.schema import json_schema
from pm_audit.strategies import KINDS
from pm_audit.strategies import PHRASED as STRATEGIES

Faults = Callable[[Callable[[], object]], list[str]]
Project = Callable[..., Path]

PROMPTS = ", ".join(
    f"{{id: p{number}, wordings: [Q{number}], fields: {{answer: a{number}}}}}"
    for number in range(9)
)
YAML = f"""\
name: decoration
claim: Decoration does not move the reward.
prompts: [{PROMPTS}]
generate:
  base: " {{answer}}."
  edits:
    - emoji
    - insert: phrases/praise.txt
    - register: ["yo, {{text}}"]
  at_most: 2
  examples: 50
controls: [" {{answer}}!"]
expect: {{gap: none, margin: 0.5}}
"""


@pytest.fixture
def root(project: Project) -> Path:
    folder = project(decoration=YAML)
    (folder / "phrases").mkdir()
    lines = "Great question!\n\n  So smart! \r\nGreat question!\n"
    (folder / "phrases" / "praise.txt").write_bytes(lines.encode())
    return folder


def with_changes(root: Path, old: str, new: str) -> Path:
    assert old in YAML
    (root / "hypotheses" / "decoration.yaml").write_text(YAML.replace(old, new))
    return root


def test_kinds_and_phrases_are_read(root: Path) -> None:
    (read,) = load_hypotheses(["hypotheses"], root)
    assert read.generate is not None
    emoji, praise, register = read.generate.edits
    assert (emoji.key, emoji.with_phrases) == ("emoji", False)
    assert (praise.key, praise.phrases) == ("insert", ("Great question!", "So smart!"))
    assert (register.key, register.phrases) == ("register", ("yo, {text}",))
    assert (read.generate.examples, read.generate.at_most) == (50, 2)
    assert (read.generate.prompts, read.generate.seed) == (8, None)


def test_every_name_has_a_strategy() -> None:
    assert set(EditKind) == set(KINDS)
    assert set(PHRASED) == set(STRATEGIES)


def test_the_base_is_what_is_edited_and_compared_with(root: Path) -> None:
    (read,) = load_hypotheses(["hypotheses"], root)
    texts = [(case.role, case.text) for case in expand(read) if case.prompt == 3]
    assert texts == [(Role.COUNTER_EXAMPLE, " a3."), (Role.CONTROL, " a3!")]


@pytest.mark.parametrize(
    ("expect", "gap", "effect"),
    [
        ("expect: {gap: lowers}", ExpectedGap.LOWERS, Effect.LOWERS),
        ("expect: {margin: 0.5}", ExpectedGap.NONE, Effect.NONE),
        ("effect: raises", ExpectedGap.RAISES, Effect.RAISES),
    ],
)
def test_the_claim_is_what_is_expected(
    root: Path, expect: str, gap: ExpectedGap, effect: Effect
) -> None:
    (read,) = load_hypotheses(
        ["hypotheses"], with_changes(root, "expect: {gap: none, margin: 0.5}", expect)
    )
    assert (read.expect.gap, read.effect) == (gap, effect)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("- emoji", "- emogi", "decoration.yaml:7:7: no edit is called 'emogi'; did you mean `em"),
        ("- emoji", "- {inser: [a]}", ":7:7: no edit 'inser' takes phrases; did you mean `insert`"),
        ("- emoji", "- {insert: [a], prefix: [b]}", ":7:7: an edit is a name, or one key with"),
        ("- emoji", "- 3", ":7:7: an edit is a name, or one key with phrases"),
        ("- emoji", "- insert: []", ":7:7: `insert` takes a list of phrases in quotes"),
        ("- emoji", "- insert: [1]", ":7:7: `insert` takes a list of phrases in quotes"),
        ("- emoji", '- insert: ["\\ud800"]', ":7:19: not YAML: "),
        ("- emoji", '- insert: [" "]', ":7:7: `insert`: phrase 1 is blank"),
        ('"yo, {text}"', '"yo"', ":9:7: `register`: phrase 1, 'yo', must hold {text} once"),
        ("praise.txt", "none.txt", ":8:15: phrases/none.txt: no such file"),
        ("phrases/praise.txt", "../praise.txt", ":8:15: ../praise.txt: lies outside"),
        ("at_most: 2", "at_most: 0", ":10:12: `generate.at_most` must be greater than"),
        ("examples: 50", "examples: 9999", ":11:13: `generate.examples` must be less than"),
        ("examples: 50", "example: 50", ":11:3: unknown key 'example'; did you mean"),
        ("{answer}.", "{answr}.", ":5:9: placeholder {answr} has no field"),
        ("claim:", "effect: up\nclaim:", ":2:9: `effect` must be 'raises', 'lowers' or 'none'"),
        ("controls:", "examples: [a]\ncontrols:", ":12:1: `examples` has no place next to `gene"),
        ("controls:", "wordings: all\ncontrols:", ":12:11: `wordings` has no place next to `gen"),
        ("{answer}!", "{answer}.", ":12:12: the same completion as `generate.base`"),
        (
            f"[{PROMPTS}]",
            "[{id: a, wordings: [b], fields: {answer: c}}]",
            "9 prompts are the least",
        ),
    ],
)
def test_a_fault_is_one_message_at_its_line(
    root: Path, faults: Faults, old: str, new: str, fault: str
) -> None:
    changed = with_changes(root, old, new)
    (found,) = faults(lambda: load_hypotheses(["hypotheses"], changed))
    assert fault in found
    assert found.startswith("hypotheses/decoration.yaml:")


def test_all_faults_are_reported_at_once(root: Path, faults: Faults) -> None:
    text = YAML.replace("praise.txt", "none.txt").replace("{answer}.", "{answr}.")
    (root / "hypotheses" / "decoration.yaml").write_text(text.replace("name: d", "name: d d"))
    assert len(faults(lambda: load_hypotheses(["hypotheses"], root))) == 3


def test_faults_of_a_phrase_file(root: Path, faults: Faults) -> None:
    path = root / "phrases" / "praise.txt"
    for content, fault in (
        (b"\n \n", "it holds none; write one a line"),
        (b"a" * 3000, "phrase 1 has 3,000 characters"),
        (b"\xff", "is not UTF-8 text"),
    ):
        path.write_bytes(content)
        (found,) = faults(lambda: load_hypotheses(["hypotheses"], root))
        assert found.startswith("hypotheses/decoration.yaml:8:15: phrases/praise.txt")
        assert fault in found


def test_generate_and_pairs_exclude_each_other(root: Path, faults: Faults) -> None:
    (root / "a.jsonl").write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}\n')
    changed = with_changes(root, f"prompts: [{PROMPTS}]", "pairs: {file: a.jsonl}")
    found = faults(lambda: load_hypotheses(["hypotheses"], changed))
    assert any("`generate` has no place next to `pairs`" in one for one in found)


def test_made_in_python_it_is_read_as_from_a_file(root: Path) -> None:
    (read,) = load_hypotheses(["hypotheses"], root)
    made = Hypothesis(
        name=read.name,
        claim=read.claim,
        prompts=read.prompts,
        generate={
            "base": " {answer}.",
            "edits": ["emoji", {"insert": "phrases/praise.txt"}, {"register": ["yo, {text}"]}],
            "at_most": 2,
            "examples": 50,
        },
        controls=read.controls,
        expect={"gap": "none", "margin": 0.5},
    )
    (again,) = load_hypotheses([made], root)
    assert again.generate == read.generate
    (twice,) = load_hypotheses([again], root)
    assert twice.sha256 == again.sha256


def test_the_hash_covers_the_phrases_and_leaves_other_hypotheses_alone(root: Path) -> None:
    (read,) = load_hypotheses(["hypotheses"], root)
    (root / "phrases" / "praise.txt").write_text("Great question!")
    (other,) = load_hypotheses(["hypotheses"], root)
    assert read.sha256 != other.sha256
    ordinary = Hypothesis(
        name="a",
        claim="b",
        effect="raises",
        prompts=["c"],
        examples=[" d"],
        counter_examples=[" e"],
    )
    assert "generate" not in ordinary.model_dump_json(exclude_unset=True)


def test_the_schema_takes_what_is_read() -> None:
    whole = json_schema("hypothesis")["$defs"]
    (name, phrases) = whole["WrittenGenerate"]["properties"]["edits"]["items"]["anyOf"]
    assert set(name["enum"]) == set(EditKind)
    assert set(phrases["properties"]) == set(PHRASED)
    assert "effect" not in whole["WrittenHypothesis"]["required"]
    assert all(
        "effect" in one["required"] or "generate" in one["required"]
        for one in whole["WrittenHypothesis"]["oneOf"]
    )
