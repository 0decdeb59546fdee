"""A diff of two PMs: a planted change comes first, a copy has none, and figures are differences."""

from __future__ import annotations

import shutil

import pytest
from safetensors.torch import load_file, save_file

from pm_audit.errors import AuditError
from pm_audit.pipelines.diff import diff, fleets_of
from pm_audit.pipelines.scan import ScanSettings
from pm_audit.records.diff import DiffRecord
from pm_audit.report.html.diff import render
from pm_audit.report.preferences.diff import changed_line, summary
from pm_audit.data import read_pairs

FEW = ScanSettings(sample=96, candidates=12, ablated=16)


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
    common = {"saes": (str(named.sae),), "text_format": "hh"}
    fleets = fleets_of(str(old), str(new), common, sae=None)
    data = read_pairs(named.data)
    return diff(data, *fleets, settings, tmp_path / "cache", lambda _: None)


@pytest.mark.parametrize("seed", range(3))
def test_a_copy_has_no_change(named, tmp_path, seed):
    settings = ScanSettings(sample=96, candidates=12, ablated=16, seed=seed)
    record = record_of(named, named.pm, copy_of(named.pm, tmp_path / "copy"), tmp_path, settings)
    assert record.changed == 0
    assert record.accuracy.value == 0
    assert record.agreement.value == 1
    assert "No feature changed" in changed_line(record)
    assert "No feature changed" in summary(record)


def test_a_reward_on_another_scale_is_no_change(named, tmp_path):
    def double(weights):
        weights["score.weight"] *= 2

    record = record_of(named, named.pm, copy_of(named.pm, tmp_path / "two", double), tmp_path)
    assert record.new_sigma == pytest.approx(2 * record.old_sigma, rel=1e-5)
    assert record.changed == 0


def test_a_changed_head_moves_features_by_what_both_pms_say(named, tmp_path):
    def negate(weights):
        weights["score.weight"] *= -1

    record = record_of(named, named.pm, copy_of(named.pm, tmp_path / "not", negate), tmp_path)
    assert record.features
    for one in record.features:
        assert one.new.value == pytest.approx(-one.old.value, abs=1e-4)
        assert one.effect.value == pytest.approx(one.new.value - one.old.value, abs=1e-9)
        assert one.effect.unit == "sigma"
    assert record.changed > 0
    # each PM's own ablation, for one feature on its comparisons
    assert record.agreement.value == pytest.approx(0)
    lead = record.features[record.groups[0].features[0]]
    page = render(record)
    assert f"/{lead.index}" in page
    written = tmp_path / "diff.json"
    record.write(written)
    assert DiffRecord.read(written) == record


def test_pms_of_two_bodies_are_refused(named, tmp_path, save_classifier):
    other = save_classifier("llama", num_hidden_layers=2)
    with pytest.raises(AuditError, match="layers 3 and 2"):
        record_of(named, named.pm, other, tmp_path)
