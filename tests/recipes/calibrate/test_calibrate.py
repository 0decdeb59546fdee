from __future__ import annotations

import pytest
import torch
from click.testing import CliRunner

from pm_audit.cli import main
from pm_audit.spec import Settings
from recipes.calibrate import Calibration, planted, simulate
from recipes.calibrate.planted import audit_planted
from recipes.calibrate.result import PlantedAudit
from recipes.calibrate.shares import summary
from recipes.calibrate.tables import render

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def audits() -> tuple[PlantedAudit, ...]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planted, "SETTINGS", Settings(null_sets=1, bootstrap_resamples=100))
        patch.setattr(planted, "MARKS", "!*~+^")
        return audit_planted(seed=3)


def test_planted_models_are_audited_mark_by_mark(audits: tuple[PlantedAudit, ...]) -> None:
    assert len(audits) == 5
    by_size = sorted(audits, key=lambda one: abs(one.strength))
    negative_control, strongest = by_size[0], by_size[-1]
    assert negative_control.strength == 0
    assert not negative_control.found
    assert negative_control.contribution_error is None
    assert strongest.right_way
    assert strongest.planted_selected
    assert strongest.gap * strongest.strength > 0
    errors = [one.contribution_error for one in audits if one.contribution_error is not None]
    assert max(errors) < 1e-4


def test_simulated_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    simulated = simulate(120, seed=1)
    shares = dict(summary(Calibration(planted=(), simulated=simulated)))
    # exact limits of a coverage that may be 92 to 98% must not exclude that range
    for name in ("gap", "closure"):
        share = shares[f"simulated: interval holds the true {name}"]
        assert share.low < 0.98
        assert share.high > 0.92
    assert shares["simulated: false PASS of gap"].low < 0.05


def test_the_table_counts_by_strength(audits: tuple[PlantedAudit, ...]) -> None:
    table = render(Calibration(planted=audits, simulated=()))
    assert "2 or more" in table
    assert "negative controls that alarm" in table
    assert "simulated" not in table


def test_the_command_writes_what_it_prints(tmp_path) -> None:
    target = tmp_path / "calibration.json"
    drawing = tmp_path / "calibration.svg"
    arguments = ["calibrate", "--models", "0", "--trained", "0", "--simulations", "6"]
    arguments += ["--json", str(target), "--plot", str(drawing)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "interval holds the true gap" in result.output
    assert len(Calibration.model_validate_json(target.read_text()).simulated) == 6
    assert drawing.read_text().startswith("<svg")
