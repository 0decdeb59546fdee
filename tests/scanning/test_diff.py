"""A diff of two PMs: a planted change comes first, a copy has none, and figures are differences."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

import pm_audit
from pm_audit.cli import main
from pm_audit.data import read_pairs
from pm_audit.errors import AuditError
from pm_audit.pipelines.diff import diff, fleets_of
from pm_audit.pipelines.scan import ScanSettings
from pm_audit.records.diff import DiffRecord
from pm_audit.report.html.diff import render
from pm_audit.report.preferences.diff import changed_line, summary
from pm_audit.scanning.attributed import Attributed
from pm_audit.scanning.ranking import Change, carriers
from pm_audit.spec import Settings
from tests.scanning.conftest import Named, write_pairs, write_sae

FEW = ScanSettings(sample=96, candidates=12, ablated=16)


@pytest.fixture
def named(save_classifier, tmp_path):
    folder = tmp_path / "few"
    folder.mkdir()
    return Named(save_classifier("llama"), write_sae(tmp_path / "sae"), write_pairs(folder, 96))


def copy_of(pm, folder, change=None):
    """Copy a checkpoint; ``change`` gets its tensors."""
    shutil.copytree(pm, folder)
    if change is not None:
        path = folder / "model.safetensors"
        weights = load_file(path)
        change(weights)
        save_file(weights, path, metadata={"format": "pt"})
    return folder


def record_of(named, old, new, tmp_path, settings=FEW):
    common = Settings.merged(cli={"saes": (str(named.sae),), "text_format": "hh"})
    fleets = fleets_of(str(old), str(new), common, sae=None)
    data = read_pairs(named.data)
    return diff(data, *fleets, settings, tmp_path / "cache", lambda _: None)


@pytest.mark.parametrize("seed", range(3))
def test_a_copy_has_no_change(named, tmp_path, seed):
    settings = ScanSettings(sample=96, candidates=12, ablated=16, seed=seed)
    record = record_of(named, named.pm, copy_of(named.pm, tmp_path / "copy"), tmp_path, settings)
    assert record.changed == ()
    assert record.accuracy.value == 0
    assert record.agreement.value == 1
    assert "No feature changed" in changed_line(record)
    assert "No feature changed" in summary(record)


def test_a_reward_on_another_scale_is_no_change(named, tmp_path):
    def double(weights):
        weights["score.weight"] *= 2

    record = record_of(named, named.pm, copy_of(named.pm, tmp_path / "two", double), tmp_path)
    assert record.new_sigma == pytest.approx(2 * record.old_sigma, rel=1e-5)
    assert record.changed == ()


def test_a_changed_head_moves_features_by_what_both_pms_say(named, tmp_path):
    def negate(weights):
        weights["score.weight"] *= -1

    record = record_of(named, named.pm, copy_of(named.pm, tmp_path / "not", negate), tmp_path)
    assert record.features
    for one in record.features:
        assert one.new.value == pytest.approx(-one.old.value, abs=2e-4)
        assert one.effect.value == pytest.approx(one.new.value - one.old.value, abs=1e-9)
        assert one.effect.unit == "sigma"
    assert record.changed
    # a head of the other sign changes a reward by minus twice itself, where the marks stand
    assert record.groups[0].changed
    assert 0.2 < record.groups[0].follows <= 1
    assert record.agreement.value == pytest.approx(0)
    lead = record.features[record.groups[0].features[0]]
    page = render(record)
    assert f"/{lead.index}" in page
    written = tmp_path / "diff.json"
    record.write(written)
    assert DiffRecord.read(written) == record


def test_pms_of_two_bodies_are_refused(named, tmp_path, save_classifier):
    old = copy_of(named.pm, tmp_path / "three")
    other = save_classifier("llama", num_hidden_layers=2)
    with pytest.raises(AuditError, match="layers 3 and 2"):
        record_of(named, old, other, tmp_path)


def test_the_command_writes_a_record_and_a_page_and_python_gives_the_same(named, tmp_path):
    def negate(weights):
        weights["score.weight"] *= -1

    new, target = copy_of(named.pm, tmp_path / "not", negate), tmp_path / "diff.json"
    few = ["--sample", "64", "--candidates", "6", "--ablated", "8"]
    names = ["--data", str(named.data), "--sae", str(named.sae), "--text-format", "hh"]
    places = ["--cache", str(tmp_path / "cache"), "-o", str(target)]
    found = CliRunner().invoke(main, ["diff", str(named.pm), str(new), *names, *places, *few])
    assert found.exit_code == 0, found.output
    record = DiffRecord.read(target)
    assert changed_line(record)[:20] in found.output
    page = target.with_suffix(".html").read_text()
    assert "What changed from" in page
    assert CliRunner().invoke(main, ["show", str(target)]).output == f"{summary(record)}\n"
    again = tmp_path / "again.html"
    assert CliRunner().invoke(main, ["report", str(target), "-o", str(again)]).exit_code == 0
    assert again.read_text() == page
    own = pm_audit.diff(
        named.pm,
        new,
        named.data,
        named.sae,
        cache=tmp_path / "other",
        text_format="hh",
        sample=64,
        candidates=6,
        ablated=8,
    )
    assert own.groups == record.groups
    assert own.features == record.features


def test_the_command_reads_the_projects_settings(tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text(
        '[tool.pm_audit]\nsaes = ["no/sae"]\ntext_format = "odd"\nrepair = "no/repair"\n'
    )
    write_pairs(tmp_path, 4)
    monkeypatch.chdir(tmp_path)
    data = next(path.name for path in tmp_path.glob("*.jsonl*"))
    found = CliRunner().invoke(main, ["diff", "default", "default", "--data", data])
    assert found.exit_code == 2
    assert "no/sae: no such file" in found.output
    assert "'odd' is unknown" in found.output
    assert "no/repair" not in found.output  # both PMs are read as they were trained


@pytest.mark.parametrize(
    ("name", "reason"),
    [("p.jsonl", "must end in .json"), ("p.html", "must end in .json"), ("d.json", "would be")],
)
@pytest.mark.parametrize("command", [["diff", "a", "b", "--data"], ["scan"]])
def test_no_record_replaces_the_data_or_its_own_page(tmp_path, command, name, reason):
    data = tmp_path / "d.json"
    data.write_text("[]")
    found = CliRunner().invoke(main, [*command, str(data), "-o", str(tmp_path / name)])
    assert found.exit_code == 2
    assert reason in found.output
    assert data.read_text() == "[]"


def test_the_command_takes_the_options_that_an_error_names(tmp_path):
    given = ["--longest", "100", "--shortest", "0", "--held-out", "0"]
    found = CliRunner().invoke(main, ["diff", "a", "b", "--data", str(tmp_path / "none"), *given])
    assert "there is no such file" in found.output


def test_python_refuses_an_unknown_sampler_and_two_saes():
    rows = [{"prompt": "a", "chosen": "b", "rejected": "c"}]
    with pytest.raises(AuditError, match="sampler: must be one of top-gap"):
        pm_audit.diff("default", "default", rows, sampler="largest")
    with pytest.raises(AuditError, match="one SAE"):
        pm_audit.diff("default", "default", rows, ["a", "b"])


def test_hostile_names_reach_neither_page_nor_terminal_raw(named, tmp_path):
    hostile = "</style><script>alert(1)</script>\x1b[31m\u202e"
    record = record_of(named, named.pm, copy_of(named.pm, tmp_path / "copy"), tmp_path)
    new = record.new.model_copy(update={"pm": hostile})
    data = record.data.model_copy(update={"file": hostile})
    worse = record.model_copy(update={"new": new, "data": data})
    for text in (render(worse), summary(worse)):
        assert "\x1b" not in text
        assert "\u202e" not in text
    assert "<script>alert" not in render(worse)


@given(
    values=st.lists(
        st.tuples(st.integers(0, 9), st.integers(0, 5), st.floats(-2, 2), st.floats(0, 3)),
        min_size=12,
        max_size=60,
        unique_by=lambda one: one[:2],
    )
)
def test_carriers_are_those_whose_attributions_moved_and_each_once(values):
    compared, latent, attribution, active = map(
        np.array, zip(*sorted(values, key=lambda one: one[1]), strict=True)
    )
    zeros = np.zeros(len(values), dtype=np.int64)
    entries = Attributed(
        compared,
        latent,
        zeros,
        attribution.astype(np.float32),
        active.astype(np.float32),
        zeros.astype(np.float32),
        zeros,
        zeros,
    )
    change = Change(np.linspace(-1, 1, 10), 0.95)
    found = carriers(entries, change, sampled=10, most=4)
    assert len(found) == len(set(found)) <= 4
    for one in found:
        own = latent == one
        assert own.sum() >= 2
        assert np.sum(change.values[compared[own]] * attribution[own].astype(np.float32)) != 0
