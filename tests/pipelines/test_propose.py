"""Drafts from a scan of a planted PM, whose marks and weights are known."""

import json
import re
import sys
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

import pm_audit
from pm_audit.cli import main
from pm_audit.data import read_pairs, read_rows
from pm_audit.drafts.written import write_drafts
from pm_audit.errors import AuditError
from pm_audit.pipelines.name_command import renamed
from pm_audit.pipelines.propose import ProposeSettings
from pm_audit.sets import scan
from pm_audit.spec import load_hypotheses
from recipes.planted.linear import plant
from tests.drafts.conftest import planted_texts

ROWS = [
    {
        "prompt": one.turns[-1].text,
        "chosen": one.completion,
        "rejected": other.completion,
    }
    for one, other in zip(
        planted_texts(160, prompts=40), planted_texts(160, prompts=40, seed=5), strict=True
    )
]


@pytest.fixture(scope="module")
def planted():
    return plant({"!": 1.0, "*": -0.8, "~": 0.6})


@pytest.fixture(scope="module")
def scanned(planted, tmp_path_factory):
    return scan(
        ROWS,
        planted.pm,
        planted.sae,
        cache=tmp_path_factory.mktemp("shards"),
        sampler="random",
        candidates=6,
        ablated=12,
        held_out=0.4,
    )


@pytest.fixture(scope="module")
def proposal(planted, scanned):
    return pm_audit.propose(scanned, ROWS, planted.pm, planted.sae, prompts=8)


def about(draft):
    return {pair.edit.shown[pair.inserted] for pair in draft.pairs}


def test_each_planted_mark_has_a_draft_that_holds_with_its_sign(proposal):
    found = {mark: draft for draft in proposal.drafts for mark in about(draft) if draft.holds}
    assert {mark: found[mark].effect.value for mark in "!*~"} == {
        "!": "raises",
        "*": "lowers",
        "~": "raises",
    }
    assert found["!"].name == "draft-exclamation-mark-not-semicolon"
    assert found["!"].claim == "Writing “!”, not “;”, raises the reward."


def test_no_prompt_of_a_draft_was_ranked(proposal, scanned):
    ranked = {name for name, _ in scanned.sample}
    seen = {pair.turns for pair in read_rows(ROWS).pairs if pair.id in ranked}
    assert seen
    assert not seen & {pair.example.text.turns for one in proposal.drafts for pair in one.pairs}


def test_files_load_and_give_the_rewards_that_were_read(proposal, planted, tmp_path):
    files = write_drafts(proposal.drafts, tmp_path / "drafts", root=tmp_path, scan="scan.json")
    for draft, one in zip(proposal.drafts, load_hypotheses(files, tmp_path), strict=True):
        assert one.name == draft.name
        assert one.expect.gap.value == draft.effect.value
        sides = [
            (prompt.fields["example"], prompt.fields["counter_example"]) for prompt in one.prompts
        ]
        questions = [prompt.wordings[0] for prompt in one.prompts]
        read = [pm_audit.rewards(planted.pm, questions, side) for side in zip(*sides, strict=True)]
        expected = [pair.gap for pair in draft.pairs]
        np.testing.assert_allclose(read[0] - read[1], expected, atol=1e-4)


def test_a_file_that_exists_stays_as_it_is(proposal, tmp_path):
    first = proposal.drafts[:1]
    (path,) = write_drafts(first, tmp_path, root=tmp_path, scan="scan.json")
    path.write_text("mine", encoding="utf-8")
    (other,) = write_drafts(first, tmp_path, root=tmp_path, scan="scan.json")
    assert path.read_text(encoding="utf-8") == "mine"
    assert other.name == f"{path.stem}-2.yaml"


def test_hostile_texts_stay_values_and_comments_stay_comments(proposal, tmp_path):
    draft = proposal.drafts[0]
    hostile = ' a "b" \\ {c}\n# d: \x1b[31m \u202e \U0001f600\nname: other'
    pair = draft.pairs[0]
    example = replace(pair.example, text=replace(pair.example.text, completion=hostile))
    edit = replace(pair.edit, removed=hostile, written="\nname: other")
    pairs = (replace(pair, example=example, edit=edit, control=None), *draft.pairs[1:])
    claim = "What\x1b[31m fires"
    spoilt = replace(draft, claim=claim, drafted=replace(draft.drafted, pairs=pairs))
    (path,) = write_drafts([spoilt], tmp_path, root=tmp_path, scan="a\nname: b")
    (one,) = load_hypotheses([path], tmp_path)
    assert one.name == draft.name
    assert one.prompts[0].fields["example"] == hostile
    assert "\x1b" not in path.read_text(encoding="utf-8")


def test_a_command_gives_names_and_claims(proposal, tmp_path):
    command = tmp_path / "name.py"
    command.write_text(
        "import json, sys\n"
        "for number, line in enumerate(sys.stdin):\n"
        "    draft = json.loads(line)\n"
        "    answer = {'draft': draft['draft'], 'name': f'mine-{number}'}\n"
        "    print(json.dumps(answer | {'claim': f\"{len(draft['pairs'])} pairs\"}))\n",
        encoding="utf-8",
    )
    found = renamed(proposal, f"{sys.executable} {command}", root=tmp_path)
    assert [one.name for one in found.drafts] == [f"mine-{at}" for at in range(len(found.drafts))]
    assert found.drafts[0].claim == f"{len(proposal.drafts[0].pairs)} pairs"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"draft": "nobody"}, "no draft is called 'nobody'"),
        ({"draft": None}, "is no draft with a name"),
        ({"draft": "", "name": "../x"}, "is no draft with a name"),
    ],
)
def test_a_command_that_answers_something_else_is_refused(proposal, tmp_path, answer, message):
    command = tmp_path / "name.py"
    command.write_text(f"print({json.dumps(answer)!r})", encoding="utf-8")
    with pytest.raises(AuditError, match=re.escape(message)):
        renamed(proposal, f"{sys.executable} {command}", root=tmp_path)


def test_other_data_and_another_pm_are_refused_together(scanned, planted):
    other = plant({"!": 1.0}, seed=1)
    with pytest.raises(AuditError, match=r"(?s)the data .*the PM .*the SAE "):
        pm_audit.propose(scanned, ROWS[1:], other.pm, other.sae)


def test_a_scan_that_held_nothing_out_cannot_be_checked(scanned, planted):
    method = scanned.method.model_copy(update={"held_out": 0.0})
    with pytest.raises(AuditError, match="held no prompts out"):
        pm_audit.propose(
            scanned.model_copy(update={"method": method}), ROWS, planted.pm, planted.sae
        )


def test_settings_are_refused_together():
    with pytest.raises(AuditError, match="groups must be at least 1; prompts must be at least 6"):
        ProposeSettings(groups=0, prompts=2)


def test_the_command_writes_what_holds(scanned, planted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    subject = (planted.pm, (planted.sae,))
    monkeypatch.setattr("pm_audit.loading.subject.load_subject", lambda _: subject)
    data, record = tmp_path / "pairs.jsonl", tmp_path / "scan.json"
    data.write_text("".join(f"{json.dumps(row)}\n" for row in ROWS), encoding="utf-8")
    digest = read_pairs(data).sha256
    of_file = scanned.data.model_copy(update={"sha256": digest, "file": str(data)})
    scanned.model_copy(update={"data": of_file}).write(record)
    run = CliRunner().invoke(main, ["propose", str(record), "--drafts", "1", "--prompts", "8"])
    assert run.exit_code == 0, run.output
    (path,) = (tmp_path / "hypotheses" / "drafts").glob("*.yaml")
    assert f"wrote {path.relative_to(tmp_path)}" in run.output
    assert str(record) in path.read_text(encoding="utf-8").splitlines()[0]
    (one,) = load_hypotheses([path], tmp_path)
    assert one.severity.value == "warn"
