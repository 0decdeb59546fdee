"""An edit that was found, written as an ordinary hypothesis and read back."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from pm_audit.cli import main
from pm_audit.errors import AuditError
from pm_audit.pipelines.generating.keep import keep_edit
from pm_audit.pipelines.generating.turned import turned
from pm_audit.pipelines.record import manifest
from pm_audit.records import AuditRecord, GeneratedEvidence
from pm_audit.report import sanitise
from pm_audit.spec import expand, load_hypotheses
from pm_audit.strategies import Case, Insert, Program, Repeat, Substitute, Wrap

PROBE = "prompts:\n" + "".join(
    f"  - {{id: p{number}, wordings: [Question {number}?, Q{number}?],"
    f" fields: {{answer: Answer {number}}}}}\n"
    for number in range(9)
)
YAML = """\
name: no-bonus
claim: Decoration does not move the reward.
probe: eight
generate: {base: " {answer}.", edits: [emoji, markup, casing]}
controls: [" {answer}!"]
tags: [style]
severity: warn
expect: {gap: none, margin: 0.5}
"""


@pytest.fixture
def root(tmp_path, monkeypatch):
    for folder, name, text in (("probes", "eight", PROBE), ("hypotheses", "no_bonus", YAML)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "pytest.ini").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def record_of(root, stored_record_path, program: Program) -> AuditRecord:
    """Return a record in which this edit was found."""
    record = AuditRecord.read(stored_record_path)
    read = load_hypotheses(["hypotheses/no_bonus.yaml"], root)
    generated = GeneratedEvidence(
        seed=0,
        drawn=1,
        distinct=1,
        too_small=0,
        refused=0,
        breaking=1,
        steps=0,
        prompts=("p0",),
        unchanged=0,
        broke=True,
        replayed=False,
        gap_sigma=1.0,
        edit=str(program),
        program=program.model_dump(mode="json"),
        base="",
        edited="",
        engine="6.100.0",
    )
    one = record.hypotheses[0]
    evidence = one.evidence.model_copy(update={"generated": generated})
    one = one.model_copy(
        update={"name": "no-bonus", "file": "hypotheses/no_bonus.yaml", "evidence": evidence}
    )
    return record.model_copy(update={"hypotheses": (one,), "manifest": manifest(read)})


def texts(hypothesis) -> list[tuple[str, str, str]]:
    return [(case.prompt_id, case.role.value, case.text) for case in expand(hypothesis)]


@pytest.mark.parametrize(
    "program",
    [
        Program(edits=(Wrap(before="*", behind="*"),)),
        Program(edits=(Case(how="upper"),)),
        Program(edits=(Insert(text="{answer} {}"),)),
        Program(
            edits=(Insert(text='\x1b[31m"\\ #: \u2028 \U0001f525\n- x: y ##[error]', after=1),)
        ),
    ],
    ids=["as-template", "as-fields", "braces", "hostile"],
)
def test_a_kept_edit_gives_the_same_texts(root, stored_record_path, program):
    record = record_of(root, stored_record_path, program)
    path = keep_edit(record, "no-bonus", root=root, probes=root / "probes")
    (hypothesis,) = load_hypotheses(["hypotheses/no_bonus.yaml"], root)
    (kept,) = load_hypotheses([path], root)
    assert path == root / "hypotheses" / "no-bonus-kept.yaml"
    assert texts(kept) == texts(turned(hypothesis, program))
    assert (kept.name, kept.generate) == ("no-bonus-kept", None)
    for field in ("claim", "effect", "tags", "severity", "expect"):
        assert getattr(kept, field) == getattr(hypothesis, field), field
    written = path.read_text(encoding="utf-8")
    assert "\x1b" not in written
    assert "##[" not in written


def test_a_template_keeps_the_probe(root, stored_record_path):
    record = record_of(root, stored_record_path, Program(edits=(Wrap(before="*", behind="*"),)))
    path = keep_edit(record, "no-bonus", root=root, probes=root / "probes")
    text = path.read_text(encoding="utf-8")
    assert 'probe: "eight"' in text
    assert 'examples: [" *{answer}.*"]' in text


def test_what_cannot_be_kept_is_said(root, stored_record_path):
    program = Program(edits=(Case(how="upper"),))
    record = record_of(root, stored_record_path, program)
    place = {"root": root, "probes": root / "probes"}
    with pytest.raises(AuditError, match="no generated hypothesis 'other'; generated: no-bonus"):
        keep_edit(record, "other", **place)
    keep_edit(record, "no-bonus", **place)
    with pytest.raises(AuditError, match=r"no-bonus-kept\.yaml exists"):
        keep_edit(record, "no-bonus", **place)
    path = root / "hypotheses" / "no_bonus.yaml"
    path.write_text(path.read_text().replace("0.5", "0.6"))
    with pytest.raises(AuditError, match="is not what was audited any more"):
        keep_edit(record, "no-bonus", output=root / "hypotheses" / "b.yaml", **place)


def test_each_file_has_a_name_of_its_own(root, stored_record_path):
    record = record_of(root, stored_record_path, Program(edits=(Case(how="upper"),)))
    place = {"root": root, "probes": root / "probes"}
    keep_edit(record, "no-bonus", **place)
    keep_edit(record, "no-bonus", output=root / "hypotheses" / "again.yaml", **place)
    names = {one.name for one in load_hypotheses(["hypotheses"], root)}
    assert names == {"no-bonus", "no-bonus-kept", "again"}


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (Program(edits=()), "the record's edit changes no completion"),
        (
            Program(edits=(Substitute(old="zz", new="z"),)),
            "the record's edit changes no completion",
        ),
        (Program(edits=(Repeat(words=None, times=16),) * 9), "at most 65,536 are allowed"),
    ],
)
def test_an_edit_that_makes_no_hypothesis_leaves_no_file(
    root, stored_record_path, program, message
):
    record = record_of(root, stored_record_path, program)
    with pytest.raises(AuditError, match=message):
        keep_edit(record, "no-bonus", root=root, probes=root / "probes")
    assert [path.name for path in (root / "hypotheses").iterdir()] == ["no_bonus.yaml"]


def test_the_command_says_what_it_wrote(root, stored_record_path):
    program = Program(edits=(Case(how="upper"),))
    record_of(root, stored_record_path, program).write(root / "record.json")
    run = CliRunner().invoke(main, ["keep", "record.json", "no-bonus"])
    assert run.exit_code == 0, run.output
    assert "\nnext: pytest --pm-audit " in run.output
    assert run.output.endswith("no-bonus-kept.yaml\n")
    again = CliRunner().invoke(main, ["keep", "record.json", "no-bonus"])
    assert again.exit_code == 2


def test_an_edit_of_a_damaged_record_is_refused(root, stored_record_path):
    record = record_of(root, stored_record_path, Program(edits=(Case(how="upper"),)))
    data = json.loads(record.document())
    data["hypotheses"][0]["evidence"]["generated"]["program"] = {"edits": [{"kind": "\x1b[1m"}]}
    record = AuditRecord.model_validate(data)
    with pytest.raises(AuditError, match="edit cannot be read") as refused:
        keep_edit(record, "no-bonus", root=root, probes=root / "probes")
    assert "\x1b" not in sanitise.terminal_lines(str(refused.value))
