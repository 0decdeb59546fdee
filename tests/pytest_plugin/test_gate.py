"""What a gated run refuses before it audits, and what it never writes."""

from __future__ import annotations

import json
import os
from importlib import import_module

import pytest

from pm_audit.records import AuditRecord

# pytester unloads what a run inside this process imports first, and numpy loads only once
for name in ("pm_audit.release", "pm_audit.pytest_plugin.run"):
    import_module(name)

GATE = ("--pm-audit", "--pm-audit-baseline=base.json")
UPDATE = (*GATE, "--pm-audit-update-baseline")


@pytest.fixture
def accepted(project, pytester):
    """Write a baseline of two hypotheses and return its path."""
    project("i-dont-know", "length")
    pytester.runpytest_inprocess(*UPDATE)
    return pytester.path / "base.json"


def refused(pytester, *arguments, because):
    (pytester.path / "audits.log").unlink(missing_ok=True)
    result = pytester.runpytest_inprocess(*arguments)
    assert result.ret == 4
    result.stderr.fnmatch_lines([f"*{because}*"])
    assert "Traceback" not in result.stderr.str()
    assert not (pytester.path / "audits.log").exists(), "audited before it was refused"


def doctored(**update):
    def edit(record):
        record["hypotheses"][0] |= update
        return record

    return edit


@pytest.mark.parametrize(
    ("edit", "because"),
    [
        (None, "base.json: no such record"),
        (lambda record: "{", "base.json: cannot be read as a record"),
        (lambda record: {"name": "other tool"}, "schema_version is None, this pm_audit reads"),
        (lambda record: record | {"schema_version": 99}, "schema_version is 99"),
        (lambda record: record | {"complete": False}, "base.json is partial"),
        (lambda record: record | {"hypotheses": []}, "does not hold each check of its manifest"),
        (doctored(severity="warn"), "i-dont-know was changed after the record was written"),
        (doctored(evidence=None), "not a record of schema 3: hypotheses.0.evidence: *"),
    ],
    ids=["missing", "torn", "foreign", "newer", "partial", "emptied", "doctored", "null"],
)
def test_a_baseline_that_proves_nothing_stops_the_run(accepted, pytester, edit, because):
    if edit is None:
        accepted.unlink()
    else:
        edited = edit(json.loads(accepted.read_text()))
        accepted.write_text(edited if isinstance(edited, str) else json.dumps(edited))
    refused(pytester, *GATE, because=because)


@pytest.mark.parametrize(
    ("arguments", "because"),
    [
        (("--pm-audit-baseline=reports/record.json",), "is a file that this run may write"),
        (("--pm-audit-baseline=./reports/../reports/record.json",), "is a file that this run may"),
        (("--pm-audit-update-baseline",), "needs --pm-audit-baseline FILE"),
        (("--pm-audit-baseline=",), "an empty path names nothing"),
        (("--pm-audit-pm=",), "`pm` is empty"),
        (("--pm-audit-seed=",), "`seed` must be a number"),
        (("--pm-audit-seed=x",), "`seed` must be a number"),
        (("--pm-audit-record=hypotheses",), "is not a regular file"),
        (("--pm-audit-record=/dev/null",), "is not a regular file"),
        ((f"--pm-audit-record={'x' * 300}",), "longer than the 255 bytes"),
        ((f"--pm-audit-record=new/{'x' * 300}/record.json",), "longer than the 255 bytes"),
        ((f"--pm-audit-baseline={'x' * 300}",), "no such record"),
        (("--pm-audit-baseline=/dev/zero",), "is not a regular file"),
        (("--pm-audit-baseline=hypotheses",), "is not a regular file"),
        (("--pm-audit-record=conftest.py/record.json",), "is not a folder that can be written to"),
        ((*UPDATE, "hypotheses/length.yaml"), "holds i-dont-know *does not audit"),
    ],
    ids=str,
)
def test_what_could_not_be_gated_is_refused_before_the_audit(
    accepted, pytester, arguments, because
):
    before = accepted.read_text()
    refused(pytester, "--pm-audit", *arguments, because=because)
    assert accepted.read_text() == before


def test_a_file_of_another_tool_is_never_overwritten_by_a_baseline(project, pytester):
    project("i-dont-know")
    (pytester.path / "base.json").write_text("{}")
    refused(pytester, *UPDATE, because="base.json was not overwritten")
    assert (pytester.path / "base.json").read_text() == "{}"


def test_a_hypothesis_that_left_the_project_leaves_the_baseline(accepted, pytester):
    (pytester.path / "hypotheses" / "length.yaml").unlink()
    assert pytester.runpytest_inprocess(*GATE).ret == 1
    assert pytester.runpytest_inprocess(*UPDATE).ret == 0
    assert [one.name for one in AuditRecord.read(accepted).hypotheses] == ["i-dont-know"]


def test_the_table_of_the_packages_own_spelling_is_refused(project, pytester):
    project("i-dont-know")
    (pytester.path / "pyproject.toml").write_text("[tool.pm-audit]\npm = 'mine'\n")
    refused(pytester, "--pm-audit", because="write [[]tool.pm_audit]")


def test_a_file_that_links_lead_to_twice_is_collected_once(project, pytester):
    project("i-dont-know")
    folder = pytester.path / "hypotheses"
    (folder / "again.yaml").symlink_to("i_dont_know.yaml")
    (folder / "circle").symlink_to(".")
    result = pytester.runpytest_inprocess("--pm-audit")
    result.assert_outcomes(passed=4)
    assert result.ret == 0


def test_a_part_of_a_run_never_passes_the_gate(accepted, pytester):
    part = ("--pm-audit", "--pm-audit-allow-partial", "-k", "i-dont-know/gap")
    assert pytester.runpytest_inprocess(*part).ret == 0
    gated = pytester.runpytest_inprocess(*part, "--pm-audit-baseline=base.json")
    assert gated.ret == 1
    gated.stdout.fnmatch_lines(["exit status 1: not every check of the manifest was judged"])


def test_a_fifo_is_refused_at_once(accepted, pytester):
    os.mkfifo(pytester.path / "pipe")
    refused(pytester, "--pm-audit", "--pm-audit-baseline=pipe", because="is not a regular file")
    refused(pytester, "--pm-audit", "--pm-audit-record=pipe", because="is not a regular file")
    refused(
        pytester, *UPDATE[:1], "--pm-audit-baseline=pipe", UPDATE[-1], because="not a regular file"
    )


@pytest.mark.parametrize("blank", ["", None])
def test_a_baseline_without_digests_proves_nothing(accepted, pytester, blank):
    record = json.loads(accepted.read_text())
    del record["digest"]
    accepted.write_text(json.dumps(record if blank is None else record | {"digest": blank}))
    refused(pytester, *GATE, because="or holds no digest")


def test_a_forged_baseline_is_judged_again(accepted, pytester):
    record = AuditRecord.read(accepted)
    first = record.hypotheses[0]
    gap = first.gap_sigma.model_copy(update={"value": -9.0, "low": -9.1, "high": -8.9})
    hypotheses = (first.model_copy(update={"gap_sigma": gap}).sealed(), *record.hypotheses[1:])
    record.model_copy(update={"hypotheses": hypotheses}).sealed().write(accepted)
    refused(pytester, *GATE, because="does not follow from its own evidence")
