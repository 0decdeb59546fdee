"""``pairs:`` of a hypothesis: what is read, and every fault at its line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pm_audit.data import read_rows
from pm_audit.records import Role
from pm_audit.spec import Hypothesis, expand_pairs, load_hypotheses
from pm_audit.spec.faults import MOST_CASES

Faults = Callable[[Callable[[], object]], list[str]]
Project = Callable[..., Path]

YAML = """\
name: verbose
claim: A longer refusal is preferred to a short one.
effect: raises
pairs:
  file: data/set.jsonl
  prompt: prompt
  example: verbose
  counter_example: concise
  where: {subset: refuse}
  sample: {size: 5, seed: 1, by: subset}
"""

ROWS = [
    {
        "prompt": f"How do I {{pick}} {number}?",
        "verbose": [f"I {{can}}not {number}", "Not I"],
        "concise": f'"No" {{{{{number}}}}}',
        "subset": ("refuse", "comply")[number % 2],
    }
    for number in range(20)
]


@pytest.fixture
def root(project: Project) -> Path:
    """A project with a preference set of twenty rows and one that is broken."""
    folder = project(verbose=YAML)
    (folder / "data").mkdir()
    lines = [*map(json.dumps, ROWS), "{"]
    (folder / "data" / "set.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder


def with_changes(root: Path, old: str, new: str) -> Path:
    assert old in YAML
    (root / "hypotheses" / "verbose.yaml").write_text(YAML.replace(old, new))
    return root


def test_rows_stand_in_for_templates(root: Path) -> None:
    (read,) = load_hypotheses(["hypotheses"], root)
    found = read.pair_set
    assert found is not None
    assert (found.file, found.rows, found.excluded, len(found.skipped)) == (
        "data/set.jsonl",
        21,
        10,
        1,
    )
    assert len(found.pairs) == 5
    assert (read.prompts, read.examples, read.probe) == ((), (), None)
    assert read.line_of("pairs.where.subset") == 9
    cases = expand_pairs(found.pairs)
    assert len(cases) == 15
    assert {case.text for case in cases if case.prompt == 0 and case.role is Role.EXAMPLE} == {
        f" {text}" for text in ROWS[found.pairs[0].row]["verbose"]
    }
    assert load_hypotheses([read], root) == (read,)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (
            "example: verbose",
            "example: verbos",
            "7:12: data/set.jsonl: no row has the column `verb",
        ),
        (
            "{subset: refuse}",
            "{subst: refuse}",
            "9:18: data/set.jsonl: no row has the column `subs",
        ),
        ("by: subset", "by: stratum", "10:34: data/set.jsonl: no row has the column `stratum`"),
        ("data/set.jsonl", "data/no.jsonl", "5:9: data/no.jsonl: there is no such file or folder"),
        ("data/set.jsonl", "data", "5:9: data: holds files of several kinds (.csv, .jsonl)"),
        ("data/set.jsonl", "../set.jsonl", "5:9: ../set.jsonl: lies outside the project root"),
        ("refuse}", "neither}", "9:3: data/set.jsonl: none of its 21 rows is a pair: 20 do not"),
        ("refuse}", "[refuse, {a: b}]}", "9:11: a column must have a text, a number, true or fal"),
        ("refuse}", "}", "9:19: a column must have a text, a number, true or false"),
        ("size: 5", "size: 0", "10:18: `pairs.sample.size` must be greater than or equal to 1"),
        ("size: 5", "sise: 5", "10:12: unknown key 'sise'; did you mean `size`?"),
        ("prompt: prompt", "prompt: 3", "6:11: `pairs.prompt` must be text, not the number 3"),
        ("  file: data/set.jsonl\n", "", "4:1: key `pairs.file` is missing; add `file:`"),
        ("pairs:", "probe: trivia\npairs:", "4:8: `probe` has no place next to `pairs`"),
        ("pairs:", "examples: [a]\npairs:", "4:1: `examples` has no place next to `pairs`"),
        ("  example: verbose\n", "", "4:1: data/set.jsonl: no column is known as example; name it"),
        ("  where", "  strict: true\n  where", None),
    ],
)
def test_a_fault_stands_at_the_key_that_is_wrong(
    root: Path, faults: Faults, old: str, new: str, fault: str | None
) -> None:
    (root / "data" / "other.csv").write_text("a\n")
    (found,) = faults(lambda: load_hypotheses(["hypotheses"], with_changes(root, old, new)))
    if fault is None:
        assert found.startswith("data/set.jsonl:21: unreadable: is not JSON")
    else:
        assert found.startswith(f"hypotheses/verbose.yaml:{fault}")


def test_faults_of_the_data_are_reported_next_to_those_of_the_file(
    root: Path, faults: Faults
) -> None:
    text = YAML.replace("effect: raises", "effect: up").replace("verbose\n  c", "verbos\n  c")
    (root / "hypotheses" / "verbose.yaml").write_text(text)
    first, second = faults(lambda: load_hypotheses(["hypotheses"], root))
    assert first.startswith("hypotheses/verbose.yaml:3:9: `effect` must be")
    assert second.startswith("hypotheses/verbose.yaml:7:12: data/set.jsonl: no row has the column")


def test_a_link_out_of_the_project_is_not_followed(
    root: Path, faults: Faults, tmp_path: Path
) -> None:
    outside = tmp_path / "outside.jsonl"
    outside.write_text(json.dumps(ROWS[0]))
    (root / "linked").mkdir()
    (root / "linked" / "set.jsonl").symlink_to(outside)
    for name in ("linked", "linked/set.jsonl"):
        changed = with_changes(root, "data/set.jsonl", name)
        (fault,) = faults(lambda changed=changed: load_hypotheses(["hypotheses"], changed))
        assert "lies outside the project root" in fault


def test_more_cases_than_are_run_name_the_key_that_helps(root: Path, faults: Faults) -> None:
    rows = [
        {"prompt": str(at), "chosen": "a", "rejected": "b"} for at in range(MOST_CASES // 2 + 1)
    ]
    (root / "data" / "set.jsonl").write_text("\n".join(map(json.dumps, rows)))
    text = "name: a\nclaim: b\neffect: raises\npairs:\n  file: data/set.jsonl\n"
    (root / "hypotheses" / "verbose.yaml").write_text(text)
    (fault,) = faults(lambda: load_hypotheses(["hypotheses"], root))
    assert fault.startswith("hypotheses/verbose.yaml:4:1: its 10,001 pairs make 20,002 cases, at")
    assert "write `sample: {size: 1000}` below it" in fault


GIVEN = {"name": "made", "claim": "c", "effect": "raises"}


def test_python_gives_a_file_pairs_or_rows(root: Path) -> None:
    names = {"example": "verbose", "counter_example": "concise"}
    file = Hypothesis(**GIVEN, pairs={"file": "data/set.jsonl", **names})
    (read,) = load_hypotheses([file], root)
    assert read.pair_set is not None
    assert len(read.pair_set.pairs) == 20
    at_hand = read_rows([{"prompt": "p", "chosen": "{a}", "rejected": "b"}])
    pairs = Hypothesis(**GIVEN, pairs=at_hand)
    rows = Hypothesis(**GIVEN, pairs=[{"prompt": "p", "chosen": "{a}", "rejected": "b"}])
    assert pairs == rows
    (loaded,) = load_hypotheses([pairs], root)
    assert loaded.pair_set == at_hand
    assert [case.text for case in expand_pairs(loaded.pair_set.pairs)] == [" {a}", " b"]


@pytest.mark.parametrize("pairs", ["data/set.jsonl", 3, {"a"}])
def test_python_gives_nothing_else(pairs: object, faults: Faults) -> None:
    (fault,) = faults(lambda: Hypothesis(**GIVEN, pairs=pairs))
    assert fault.startswith("<python>:made: `pairs` must be a mapping of keys and values, not")


def test_the_hash_is_that_of_the_file_the_draw_and_the_keys(root: Path) -> None:
    (first,) = load_hypotheses(["hypotheses"], root)
    assert first.sha256 == load_hypotheses(["hypotheses"], root)[0].sha256
    (seeded,) = load_hypotheses(["hypotheses"], with_changes(root, "seed: 1", "seed: 2"))
    with_changes(root, "name", "name")
    with (root / "data" / "set.jsonl").open("a") as file:
        file.write("\n")
    (longer,) = load_hypotheses(["hypotheses"], root)
    assert len({one.sha256 for one in (first, seeded, longer)}) == 3


def test_pairs_of_one_dialogue_are_one_prompt() -> None:
    rows = [
        {"id": "x", "prompt": "p", "chosen": "a", "rejected": "b"},
        {"id": "y", "prompt": "q", "chosen": "a", "rejected": "b"},
        {"id": "z", "prompt": "p", "chosen": ["a", "c"], "rejected": "d"},
    ]
    cases = expand_pairs(read_rows(rows).pairs)
    assert [(case.prompt, case.prompt_id, case.role, case.text) for case in cases] == [
        (0, "x", Role.EXAMPLE, " a"),
        (0, "x", Role.EXAMPLE, " c"),
        (0, "x", Role.COUNTER_EXAMPLE, " b"),
        (0, "x", Role.COUNTER_EXAMPLE, " d"),
        (1, "y", Role.EXAMPLE, " a"),
        (1, "y", Role.COUNTER_EXAMPLE, " b"),
    ]
