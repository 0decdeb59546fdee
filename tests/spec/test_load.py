from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pm_audit.errors import InvalidSpec
from pm_audit.spec import expand, load_hypotheses

Faults = Callable[[Callable[[], object]], list[str]]
Project = Callable[..., Path]

HYPOTHESIS = """\
name: i-dont-know
claim: Saying so lowers the reward.
effect: lowers
probe: trivia
examples: [" I don't know."]
counter_examples: [" {answer}."]
"""


def changed(old: str, new: str) -> str:
    assert old in HYPOTHESIS
    return HYPOTHESIS.replace(old, new)


def test_a_hypothesis_knows_its_prompts_and_its_places(project: Project) -> None:
    root = project(a="# a remark\n" + HYPOTHESIS + "expect:\n  closure: 0.8\n")
    hypothesis = load_hypotheses(["hypotheses/a.yaml"], root)[0]
    assert hypothesis.file == "hypotheses/a.yaml"
    assert hypothesis.line == 2
    assert hypothesis.line_of("expect.closure") == 9
    assert hypothesis.line_of("examples.0") == 6
    assert [prompt.id for prompt in hypothesis.prompts] == ["france", "planets"]
    assert [case.text for case in expand(hypothesis)][:2] == [
        " I don't know.",
        " Paris is the capital.",
    ]


def test_folders_files_and_lists_are_read_in_order_and_once(project: Project) -> None:
    both = "".join(
        "- " + changed("i-dont-know", name).replace("\n", "\n  ").rstrip() + "\n"
        for name in ("one", "two")
    )
    root = project(b=both, a=changed("i-dont-know", "zero"))
    (root / "hypotheses" / "c.yml").write_text(changed("i-dont-know", "three"))
    loaded = load_hypotheses(["hypotheses/b.yaml", root / "hypotheses"], root)
    assert [hypothesis.name for hypothesis in loaded] == ["one", "two", "zero", "three"]
    assert [hypothesis.line for hypothesis in loaded] == [1, 7, 1, 1]


def test_prompts_can_stand_in_the_hypothesis(project: Project) -> None:
    inline = "prompts:\n  - {id: a, wordings: [Why?], fields: {answer: So}}"
    hypothesis = load_hypotheses(
        ["hypotheses/a.yaml"], project(a=changed("probe: trivia", inline))
    )[0]
    assert hypothesis.probe is None
    assert expand(hypothesis)[0].turns[0].text == "Why?"


def test_turns_of_the_hypothesis_stand_for_those_of_the_probe(project: Project) -> None:
    turns = 'turns: [{human: "{question}"}, {assistant: "{answer}."}, {human: Sure?}]\n'
    root = project(a=HYPOTHESIS, b=changed("i-dont-know", "b") + turns)
    (root / "probes" / "trivia.yaml").write_text(
        'turns: [{system: Be brief.}, {human: "{question}"}]\n'
        "prompts:\n"
        "  - {id: a, wordings: [Why?], fields: {answer: So}}\n"
        "  - {id: b, fields: {answer: So}, turns: [{human: Own words}]}\n"
    )
    (root / "hypotheses" / "b.yaml").write_text(
        changed("i-dont-know", "b").replace("probe: trivia", "probe: other") + turns
    )
    (root / "probes" / "other.yml").write_text(
        "prompts:\n  - {id: a, wordings: [Why?], fields: {answer: So}}\n"
    )
    first, second = load_hypotheses(["hypotheses"], root)
    assert [[turn.text for turn in case.turns] for case in expand(first)[::2]] == [
        ["Be brief.", "Why?"],
        ["Own words"],
    ]
    assert [turn.text for turn in expand(second)[0].turns] == ["Why?", "So.", "Sure?"]


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("probe:", "tag: x\nprobe:", "a.yaml:4:1: unknown key 'tag'; did you mean `tags`?"),
        ("claim: Saying so lowers the reward.\n", "", "a.yaml:1:1: key `claim` is missing"),
        ('[" I don\'t know."]', "[]", "a.yaml:5:1: `examples` is an empty list"),
        ('" I don\'t know."', "true", "a.yaml:5:12: `examples[0]` must be text, not the boolean"),
        ('" I don\'t know."', "1e3", "a.yaml:5:12: `examples[0]` must be text, not the number"),
        ('" I don\'t know."', "~", "a.yaml:5:12: `examples[0]` must be text, not empty"),
        ('" I don\'t know."', '""', "a.yaml:5:12: `examples[0]` is empty"),
        ("name: i-dont-know", "name: 12", "a.yaml:1:7: `name` must be text, not the number 12"),
        ("name: i-dont-know", "name: a b", "a.yaml:1:7: `name` is 'a b', but a name has"),
        ("name: i-dont-know", "name: a::b", "a.yaml:1:7: `name` is 'a::b', but a name has"),
        ("i-dont-know", "x" * 81, "a.yaml:1:7: `name` is"),
        ("lowers\n", "up\n", "a.yaml:3:9: `effect` must be 'raises', 'lowers' or 'none', not 'up'"),
        ("probe: trivia", "probe: trivai", "a.yaml:4:8: no probe `trivai` in probes/: did you"),
        ("probe: trivia", "probe: ..", "a.yaml:4:8: no probe `..`"),
        ("probe: trivia", "probe: ../x", "a.yaml:4:8: `probe` is '../x', but a name has"),
        ("probe: trivia\n", "", "a.yaml:1:1: name one source of prompts"),
        ("{answer}", "{answr}", "a.yaml:6:20: placeholder {answr} has no field in prompt `france`"),
        ("{answer}", "{answer", "a.yaml:6:20: '{answer.' is not a placeholder"),
        ('{answer}."]', '{answer}.", " I don\'t know."]', "the same completion as `examples.0`"),
        (
            "lowers\n",
            "[]\n",
            "a.yaml:3:1: `effect` must be 'raises', 'lowers' or 'none', not a list",
        ),
        (
            "probe: trivia",
            "prompts: [{id: a, wordings: [Q], fields: {answer: I don't know}}]",
            "a.yaml:6:20: the same completion as `examples.0` in prompt `a`",
        ),
        (
            "probe: trivia",
            "prompts: [{id: a, fields: {answer: x}}]",
            "a.yaml:4:11: placeholder {question} has no field in prompt `a`",
        ),
        (
            "probe: trivia",
            "prompts: [{id: a, turns: [{human: Q}], fields: {answer: x}}, "
            "{id: b, wordings: [Q], fields: {answer: x, unused: y}}]",
            "a.yaml:4:62: prompt `b` has the text of prompt `a`",
        ),
        (
            "probe: trivia",
            "wordings: all\nprompts: [{id: a, wordings: [Q, R, Q], fields: {answer: x}}]",
            "a.yaml:5:11: prompt `a` has the text of prompt `a`",
        ),
    ],
)
def test_bad_input_is_one_clear_error(
    project: Project, faults: Faults, old: str, new: str, fault: str
) -> None:
    root = project(a=changed(old, new))
    (found,) = faults(lambda: load_hypotheses(["hypotheses"], root))
    assert found.startswith("hypotheses/a.yaml:")
    assert fault in found


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ("expect: {closure: 1.5}", ":7:19: `expect.closure` must be less than or equal to 1"),
        ("expect: {closure: true}", ":7:19: `expect.closure` must be a number, not the boolean"),
        ("expect: {margin: 0}", ":7:18: `expect.margin` must be greater than 0"),
        ("expect: {margin: .nan}", ":7:18: `expect.margin`"),
        ("expect: lowers", ":7:9: `expect` must be a mapping of keys and values, not 'lowers'"),
        ("expect: {gap: raise}", ":7:15: `expect.gap` must be 'raises', 'lowers' or 'none'"),
        ("known_bias: {reason: r, ticket: t}", ":7:1: key `known_bias.expires` is missing"),
        (
            "known_bias: {reason: r, ticket: t, expires: soon}",
            ":7:45: a day is written as 2027-01-31",
        ),
        ("turns: [{assistant: Hello}]", ":7:9: the last turn must be the human's"),
        ("turns: [{human: Hello, system: Hi}]", ":7:9: a turn has one speaker"),
        ("turns: [{robot: Hello}]", ":7:10: unknown key 'robot'; known here: `assistant`"),
        ("turns: [{human: '{nobody}'}]", ":7:9: placeholder {nobody} has no field"),
        ("wordings: some", ":7:11: `wordings` must be 'first' or 'all', not 'some'"),
        ("prompts: [{id: a}]", ":7:1: name one source of prompts"),
        ("controls: []", ":7:1: `controls` is an empty list"),
        ("tags: [a b]", ":7:8: `tags[0]` is 'a b', but a name has"),
        ("file: /etc/passwd", ":7:1: unknown key 'file'"),
    ],
)
def test_optional_keys_are_held_to_their_kind(
    project: Project, faults: Faults, more: str, fault: str
) -> None:
    root = project(a=f"{HYPOTHESIS}{more}\n")
    assert fault in faults(lambda: load_hypotheses(["hypotheses"], root))[0]


@pytest.mark.parametrize(
    ("probe", "fault"),
    [
        ("prompts: []", "1:1: `prompts` is an empty list"),
        ("prompts: [{id: a}]", "1:11: placeholder {question} has no field in prompt `a`"),
        (
            "prompts: [{id: a, wordings: [Q]}, {id: a, wordings: [R]}]",
            "1:40: prompt `a` appears twice",
        ),
        ("prompts: [{id: a, wordings: [Q], fields: {a b: c}}]", "'a b' cannot be a field"),
        ("prompts: [{id: a, wordings: [Q], fields: {a: 1}}]", "`prompts[0].fields.a` must be text"),
        ("prompts: [{id: a, wordings: [Q], fields: {question: c}}]", "rename this field"),
        ("prompts: [{id: a, turns: [{human: '{b}'}]}]", "1:27: placeholder {b} has no field"),
        ("prompts: [{id: a, turns: [{human: '{'}]}]", "1:27: '{' is not a placeholder"),
        ("prompts: [{id: a, turns: [{system: b}]}]", "1:27: the last turn must be the human's"),
        ("prompts: &a [*a]", "1:10: anchors"),
        ("name: trivia\nprompts: [{id: a, wordings: [Q]}]", "1:1: unknown key 'name'"),
    ],
)
def test_a_bad_probe_is_reported_once_for_all_its_hypotheses(
    project: Project, faults: Faults, probe: str, fault: str
) -> None:
    root = project(a=HYPOTHESIS, b=changed("i-dont-know", "b"))
    (root / "probes" / "trivia.yaml").write_text(probe)
    found = faults(lambda: load_hypotheses(["hypotheses"], root))
    assert len([line for line in found if fault in line]) == 1
    assert all(line.startswith("probes/trivia.yaml:1:") for line in found)


def test_the_problems_of_all_files_are_reported_together(project: Project, faults: Faults) -> None:
    root = project(
        a=changed("lowers\n", "up\n"),
        b=changed("trivia", "nowhere").replace("i-dont-know", "b"),
        c="[" * 100_000,
        d=changed("i-dont-know", "d").replace("{answer}", "{x}"),
    )
    found = faults(lambda: load_hypotheses(["hypotheses", "../elsewhere", "none"], root))
    assert [line.split(":")[0] for line in found] == [
        "../elsewhere",
        "none",
        "hypotheses/a.yaml",
        "hypotheses/b.yaml",
        "hypotheses/c.yaml",
        "hypotheses/d.yaml",
    ]


def test_everything_wrong_in_one_hypothesis_is_reported_by_line(
    project: Project, faults: Faults
) -> None:
    root = project(
        a='name: a\nclaim: b\nefect: lowers\nprobe: trivai\nexamples: [" {answr}", "x"]\n'
        'counter_examples: [" {answer}."]\nexpect: {gap: non}\n',
        b='name: b\nclaim: 1\neffect: lowers\nprobe: trivia\nexamples: [" {answr}"]\n'
        'counter_examples: [" a"]\ncontrols: [" {"]\n',
    )
    found = faults(lambda: load_hypotheses(["hypotheses"], root))
    assert [line.partition(": ")[0].removeprefix("hypotheses/") for line in found] == [
        "a.yaml:3:1",
        "a.yaml:4:8",
        "a.yaml:7:15",
        "b.yaml:2:8",
        "b.yaml:5:12",
        "b.yaml:7:12",
    ]
    assert "unknown key 'efect'; did you mean `effect`" in found[0]
    assert "no probe `trivai`" in found[1]
    assert "{answr} has no field in prompt `france`" in found[4]


def test_a_key_with_a_typing_error_is_not_called_missing_too(
    project: Project, faults: Faults
) -> None:
    root = project(a=HYPOTHESIS.replace("claim:", "cliam:"))
    (found,) = faults(lambda: load_hypotheses(["hypotheses"], root))
    assert "unknown key 'cliam'; did you mean `claim`" in found


def test_one_name_is_one_hypothesis(project: Project, faults: Faults) -> None:
    root = project(a=HYPOTHESIS, b=f"# later\n{HYPOTHESIS}")
    (found,) = faults(lambda: load_hypotheses(["hypotheses"], root))
    assert found.startswith(
        "hypotheses/b.yaml:2: name `i-dont-know` is taken by hypotheses/a.yaml:1"
    )


def test_a_probe_in_two_files_is_ambiguous(project: Project, faults: Faults) -> None:
    root = project(a=HYPOTHESIS)
    (root / "probes" / "trivia.yml").write_text("prompts: []")
    (found,) = faults(lambda: load_hypotheses(["hypotheses"], root))
    assert "two files have this name" in found


def test_probes_stay_inside_the_root(project: Project, faults: Faults) -> None:
    root = project(a=HYPOTHESIS)
    outside = root.parent / "elsewhere"
    outside.mkdir()
    (root / "probes" / "trivia.yaml").rename(outside / "trivia.yaml")
    (root / "probes" / "trivia.yaml").symlink_to(outside / "trivia.yaml")
    assert "outside the project root" in faults(lambda: load_hypotheses(["hypotheses"], root))[0]
    assert (
        "outside the project root"
        in faults(lambda: load_hypotheses(["hypotheses"], root, probes=Path("../elsewhere")))[0]
    )


def test_a_link_in_a_circle_is_a_fault_of_its_own(project: Project, faults: Faults) -> None:
    root = project(a=HYPOTHESIS)
    (root / "hypotheses" / "b.yaml").symlink_to("b.yaml")
    (found,) = faults(lambda: load_hypotheses(["hypotheses"], root))
    assert found.startswith("hypotheses/b.yaml: this path leads nowhere")


def test_an_empty_list_is_no_hypothesis(project: Project, faults: Faults) -> None:
    root = project(a="[]")
    assert "empty list" in faults(lambda: load_hypotheses(["hypotheses"], root))[0]


def test_doubtful_completions_are_warned_of_where_they_stand(project: Project) -> None:
    escaped = changed('[" I don\'t know."]', r"[' I don''t\nknow.']").replace('" {', '"{')
    other = changed("i-dont-know", "b")
    both = "".join("- " + text.replace("\n", "\n  ").rstrip() + "\n" for text in (escaped, other))
    first, second = load_hypotheses(["hypotheses"], project(a=both))
    assert [warning.split(": ")[0] for warning in first.warnings] == [
        "hypotheses/a.yaml:5:14",
        "hypotheses/a.yaml:5:3",
    ]
    assert "double quotes" in first.warnings[0]
    assert "begin with a space" in first.warnings[1]
    assert second.warnings == ()


def test_completions_that_look_alike_are_warned_of(project: Project) -> None:
    written = changed('[" I don\'t know."]', '[" caf\\u00e9", " cafe\\u0301"]')
    (warning,) = load_hypotheses(["hypotheses/a.yaml"], project(a=written))[0].warnings
    assert warning.startswith("hypotheses/a.yaml:5:")
    assert "examples.0 and examples.1 differ in Unicode composition (NFC and NFD) alone" in warning


def test_a_threshold_without_effect_is_warned_of(project: Project) -> None:
    root = project(a=f"{HYPOTHESIS}expect: {{gap: none, closure: 0.9}}\n")
    (warning,) = load_hypotheses(["hypotheses/a.yaml"], root)[0].warnings
    assert warning.startswith("hypotheses/a.yaml:7:30: `expect.closure` has no effect")


def test_a_misspelled_probe_is_named(project: Project, faults: Faults) -> None:
    root = project(a=changed("probe: trivia", "probe: trivial"))
    assert "did you mean `trivia`" in faults(lambda: load_hypotheses(["hypotheses"], root))[0]


@given(data=st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(
    data: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("project")
    (root / "a.yaml").write_bytes(data)
    with pytest.raises(InvalidSpec):
        load_hypotheses(["a.yaml"], root)


def test_hostile_text_arrives_to_the_letter_and_is_never_shown_raw(
    project: Project, faults: Faults
) -> None:
    hostile = r"\e[31m\r\n::error::\u202e\0<script>{{x}}"
    root = project(a=changed(" I don't know.", hostile))
    text = expand(load_hypotheses(["hypotheses/a.yaml"], root)[0])[0].text
    assert text == "\x1b[31m\r\n::error::\u202e\0<script>{x}"
    root = project(a=changed("name: i-dont-know", rf'name: "{hostile}"'))
    assert all(line.isprintable() for line in faults(lambda: load_hypotheses(["hypotheses"], root)))
    root = project(a=f'{HYPOTHESIS}"{hostile}": 1\n')
    assert all(line.isprintable() for line in faults(lambda: load_hypotheses(["hypotheses"], root)))


def test_reading_needs_no_torch(project: Project) -> None:
    root = project(a=HYPOTHESIS)
    code = (
        "import sys, pathlib; from pm_audit.spec import load_hypotheses;"
        f"load_hypotheses(['hypotheses'], pathlib.Path({str(root)!r}));"
        "print(sorted({'torch', 'transformers', 'numpy', 'scipy'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
