"""`pm-audit repair`: what it hands over, what it prints and writes, and how it exits."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from pm_audit.cli import main
from pm_audit.pipelines.repairing import request
from pm_audit.pipelines.repairing.options import RepairOptions
from pm_audit.records import Feature, Figure, SubjectRecord, Unit
from pm_audit.records.repair import (
    JudgedRepair,
    Level,
    PairsRead,
    RepairCandidate,
    RepairKind,
    RepairRecord,
    SubsetChange,
)

READ = PairsRead(file="p.jsonl", sha256="", rows=10, pairs=9, prompts=8, skipped={"too long": 1})
CANDIDATE = RepairCandidate(
    name="urls",
    kind=RepairKind.FEATURES,
    level=Level.ZERO,
    features=(Feature(sae="s", layer=1, index=2),),
    change={"all": 0.25},
)


def record(*, helps: bool) -> RepairRecord:
    change = Figure(value=0.125, low=0.01, high=0.3, unit=Unit.SHARE)
    subset = SubsetChange(subset="all", pairs=9, prompts=8, before=0.5, after=0.625, change=change)
    judged = JudgedRepair(
        target="all", candidate=CANDIDATE, subsets=(subset,), helps=helps, reason="it does"
    )
    return RepairRecord(
        created="2026-01-01T00:00:00+00:00",
        audit_digest="d",
        subject=SubjectRecord(
            pm="p", pm_sha256="", tokenizer_sha256="", text_format="hh", objective=None,
            dtype="float32", device="cpu", layers=2, hidden_size=8, saes=(),
        ),
        chosen_on=READ,
        judged_on=READ,
        by=None,
        tolerance=0.005,
        confidence=0.95,
        seed=0,
        candidates=(CANDIDATE,),
        judged=(judged,),
        miscalibration=(),
    )  # fmt: skip


@pytest.fixture
def asked(monkeypatch, tmp_path):
    found = []

    def run(*arguments, **options):
        found.append((arguments, options))
        return record(helps=asked_helps[0]), ("wrote fixed/edit.json",)

    asked_helps = [True]
    monkeypatch.setattr(request, "run_repair", run)
    for name in ("r.json", "d.jsonl", "c.jsonl"):
        (tmp_path / name).write_text("{}")
    return found, asked_helps


def invoke(tmp_path: Path, *words: str):
    paths = [str(tmp_path / "r.json"), "--data", str(tmp_path / "d.jsonl")]
    return CliRunner().invoke(main, ["repair", *paths, *words])


def test_options_become_the_request(asked, tmp_path):
    result = invoke(
        tmp_path,
        *("--choose", str(tmp_path / "c.jsonl"), "--by", "source", "--target", "hh"),
        *("--hypothesis", "urls", "--level", "zero", "--singles", "0", "--directions"),
        *("--contrast", "lists", "--max-tokens", "99", "--sample", "50", "--seed", "3"),
        *("--export", str(tmp_path / "fixed"), "--pick", "urls", "--base", "org/base"),
        *("--pm", "folder", "--sae", "one", "--sae", "two"),
    )
    ((arguments, named),) = asked[0]
    assert arguments == (
        tmp_path / "r.json",
        tmp_path / "d.jsonl",
        RepairOptions(
            by="source",
            targets=("hh",),
            hypotheses=("urls",),
            levels=("zero",),
            singles=0,
            directions=True,
            contrasts=("lists",),
            max_tokens=99,
            sample=50,
            seed=3,
            pick="urls",
            base="org/base",
        ),
    )
    assert named.pop("progress")
    assert named == {
        "pm": "folder",
        "sae": ("one", "two"),
        "choose": tmp_path / "c.jsonl",
        "export": tmp_path / "fixed",
    }
    assert result.exit_code == 0, result.output
    assert "these help: urls (1 feature, zero), for all." in " ".join(result.output.split())
    assert "skipped in the whole file: 1 too long" in result.output
    assert "+12.5 [+1.0, +30.0]" in result.output
    assert "wrote fixed/edit.json" in result.output


def test_without_help_the_exit_code_is_one_and_it_is_said(asked, tmp_path):
    asked[1][0] = False
    result = invoke(tmp_path, "-o", str(tmp_path / "out.md"))
    assert result.exit_code == 1
    assert "No verified set helps: of 1 repairs, those that gained most" in result.output
    assert "# Repairs of p" in (tmp_path / "out.md").read_text()


def test_a_suffix_without_a_format_is_refused_before_any_work(asked, tmp_path):
    result = invoke(tmp_path, "-o", "out.txt")
    assert result.exit_code == 2
    assert "must end in .json, .html, .md" in result.output
    assert asked[0] == []


def test_a_record_that_is_none_is_one_message(tmp_path):
    (tmp_path / "r.json").write_text("{}")
    (tmp_path / "d.jsonl").write_text("{}")
    result = invoke(tmp_path)
    assert result.exit_code == 2
    assert "error:" in result.output
    assert "schema_version is None" in result.output
