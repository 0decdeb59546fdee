from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

import pm_audit
from pm_audit.cli import main


@pytest.fixture
def run(named, tmp_path):
    def invoke(command: str, *options: str):
        names = ["--pm", str(named.pm), "--text-format", "hh", "--cache", str(tmp_path / "cache")]
        return CliRunner().invoke(main, [command, str(named.data), *names, *options])

    return invoke


def test_score_writes_the_rewards_of_the_rows_that_are_kept(named, run, tmp_path):
    path = tmp_path / "rewards.jsonl"
    found = run("score", "--where", "subset=b", "-o", str(path))
    assert found.exit_code == 0, found.output
    assert "of 165 comparisons over 165 prompts" in found.output
    assert "score: 3 of 3 shards" in found.output
    table = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["row"] for row in table] == list(range(1, 330, 2))
    first = json.loads(named.data.read_text().splitlines()[1])
    pm = pm_audit.load_pm(named.pm, text_format="hh")
    texts = [f" {first['chosen']}", f" {first['rejected']}"]
    expected = pm_audit.rewards(pm, first["prompt"], texts)
    read = [table[0]["chosen_reward"], table[0]["rejected_reward"]]
    assert read == pytest.approx(expected.tolist(), abs=1e-5)


@pytest.mark.parametrize(
    ("command", "options", "said"),
    [
        ("score", ["-o", "rewards.txt"], "must end in .jsonl"),
        ("score", ["--where", "subset"], "COLUMN=VALUE"),
        ("score", ["--example-column", "better"], "better"),
        ("score", ["--sae", "any"], "--sae"),
        ("scan", ["--held-out", "1"], "held-out"),
        ("scan", ["--workers", "0"], "workers"),
    ],
)
def test_what_cannot_be_run_is_refused_before_a_pm_is_loaded(run, command, options, said, tmp_path):
    found = run(command, *options)
    assert found.exit_code == 2
    assert said in found.output
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--by", "subset"], "by has no effect on a top-gap sample"),
        (["--by", "none", "--sampler", "stratified"], "the column 'none' of a stratified sample"),
    ],
)
def test_strata_that_are_none_are_refused_before_pairs_are_read(run, named, options, said):
    found = run("scan", "--sae", str(named.sae), *options)
    assert found.exit_code == 2
    assert said in found.output
    assert "score:" not in found.output


@pytest.mark.parametrize("command", ["score", "scan"])
def test_the_data_is_never_written_over(run, named, command, tmp_path):
    before = named.data.read_bytes()
    links = tmp_path / "link.jsonl", tmp_path / "link.json"
    for link in links:
        link.hardlink_to(named.data)
    said = []
    for place in (named.data, *links):
        found = run(command, "-o", str(place))
        assert found.exit_code == 2
        said.append(" ".join(found.output.split()))
    assert named.data.read_bytes() == before
    # the last one alone has a name that the record of a scan may have, the others those of rewards
    allowed = said[-1:] if command == "scan" else said[:-1]
    for message in allowed:
        assert "is a file that the command reads and would be replaced" in message
