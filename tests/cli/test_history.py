"""`pm-audit history`, and the comment and the notes that other commands write."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

import pm_audit
from pm_audit.cli import main
from pm_audit.records import AuditRecord, Check


@pytest.fixture
def invoke():
    return lambda *arguments: CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture
def records(judged_record_path, tmp_path):
    record = AuditRecord.read(judged_record_path)
    paths = [tmp_path / "old.json", tmp_path / "new.json"]
    for month, path in enumerate(paths, start=1):
        created = f"2026-0{month}-01T00:00:00+00:00"
        record.model_copy(update={"created": created}).sealed().write(path)
    return paths


def test_history_prints_and_writes_page_and_folder(invoke, records, tmp_path):
    page, site = tmp_path / "history.html", tmp_path / "site"
    result = invoke("history", *reversed(records), "-o", page, "--static", site)
    assert result.exit_code == 0, result.output
    assert result.output.startswith("2 releases of default, 2026-01-01 to 2026-02-01\n")
    assert f"wrote {page}\n" in result.output
    assert page.stat().st_size > 10_000
    assert (site / "index.html").is_file()


def test_a_history_in_python_is_what_the_command_prints(invoke, records):
    history = pm_audit.read_history(map(str, records))
    assert pm_audit.read_history(str(records[0])).releases[0].file == str(records[0])
    with pytest.raises(pm_audit.AuditError, match="must be a path, not"):
        pm_audit.read_history(None)
    assert invoke("history", *records).output == f"{history}\n"
    frame = history.frame()
    assert len(frame) == sum(len(release.points) for release in history.releases)
    first = frame[frame["release"] == str(records[0])].set_index("hypothesis")
    record = pm_audit.read_record(records[0])
    for one in record.hypotheses:
        assert first.loc[one.name, "gap_sigma"] == one.gap_sigma.value
        assert first.loc[one.name, "gap"] == one.outcomes[Check.GAP].value


def test_history_refuses_what_it_cannot_show(invoke, records, tmp_path):
    missing = invoke("history", tmp_path / "none.json", records[0], tmp_path / "no.json")
    assert missing.exit_code == 2
    assert f"error: {tmp_path}/none.json, {tmp_path}/no.json: no such record" in missing.output
    assert invoke("history").exit_code == 2
    suffix = invoke("history", *records, "-o", tmp_path / "history.md")
    assert suffix.exit_code == 2
    assert "its name ends in .html" in suffix.output
    (tmp_path / "torn.json").write_text("{")
    torn = invoke("history", tmp_path / "torn.json")
    assert torn.exit_code == 2
    assert "no file holds a release" in torn.output
    assert "set aside" in invoke("history", tmp_path / "torn.json", *records).output


def test_compare_writes_a_comment_with_the_notes_of_both(invoke, records, tmp_path):
    (tmp_path / "new.notes.yaml").write_text(
        "- {hypothesis: urls, note: agreed, author: Ada, day: 2026-02-01}\n"
    )
    (tmp_path / "old.notes.yaml").write_text("- {note: shipped, author: Bo, day: 2026-01-01}\n")
    comment = tmp_path / "comment.md"
    result = invoke("compare", *records, "--comment", comment)
    assert result.exit_code == 0, result.output
    text = comment.read_text(encoding="utf-8")
    assert text.startswith("## pm\\_audit: no regression in 5 hypotheses")
    assert text.index("agreed") < text.index("shipped"), "the newest first"


@pytest.mark.parametrize("suffix", [".html", ".md"])
def test_report_shows_the_notes_next_to_the_record(invoke, records, tmp_path, suffix):
    (tmp_path / "new.notes.yaml").write_text(
        "- {hypothesis: urls, note: 'agreed <b>', author: Ada, day: 2026-02-01}\n"
        "- {note: of the whole, author: Ada, day: 2026-02-02}\n"
    )
    page = tmp_path / f"page{suffix}"
    assert invoke("report", records[1], "-o", page).exit_code == 0
    text = page.read_text(encoding="utf-8")
    assert "of the whole" in text
    assert "agreed" in text
    assert "agreed <b>" not in text
    shown = " ".join(invoke("show", records[1]).output.split())
    assert "note on urls: agreed <b> (Ada, 2026-02-01)" in shown
    assert "note: of the whole (Ada, 2026-02-02)" in shown
    (tmp_path / "new.notes.yaml").write_text("- {hypothesis: url, note: a, day: 2026-02-01}\n")
    refused = invoke("report", records[1], "-o", page)
    assert refused.exit_code == 2
    assert "new.notes.yaml:1:" in refused.output
    assert "key `author` is missing" in refused.output


def test_a_comparison_replaces_no_record_and_no_strangers_file(invoke, records, tmp_path):
    old, new = records
    stranger = tmp_path / "README.md"
    stranger.write_text("ours")
    for given, reason in (
        (["--comment", old], "would be replaced"),
        (["--comment", stranger], "was not written by a run"),
        (["-o", new], "would be replaced"),
    ):
        before = old.read_bytes(), new.read_bytes(), stranger.read_bytes()
        result = invoke("compare", old, new, *given)
        assert result.exit_code == 2
        assert reason in result.output
        assert (old.read_bytes(), new.read_bytes(), stranger.read_bytes()) == before
