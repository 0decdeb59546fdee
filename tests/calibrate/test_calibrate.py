from __future__ import annotations

import pytest
import torch
from click.testing import CliRunner

from pm_audit.calibrate import Calibration, planted, simulate
from pm_audit.calibrate.planted import audit_planted
from pm_audit.calibrate.result import PlantedAudit, Share
from pm_audit.cli import main
from pm_audit.spec import Settings

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
    sham, strongest = by_size[0], by_size[-1]
    assert sham.strength == 0
    assert not sham.found
    assert sham.contribution_error is None
    assert strongest.right_way
    assert strongest.planted_selected
    assert strongest.gap * strongest.strength > 0
    errors = [one.contribution_error for one in audits if one.contribution_error is not None]
    assert max(errors) < 1e-4


def test_simulated_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    simulated = simulate(120, seed=1)
    shares = dict(Calibration(planted=(), simulated=simulated).summary())
    # exact limits of a coverage that may be 92 to 98% must not exclude that range
    for name in ("gap", "closure"):
        share = shares[f"simulated: interval holds the true {name}"]
        assert share.low < 0.98
        assert share.high > 0.92
    assert shares["simulated: false PASS of gap"].low < 0.05


def test_shares_have_exact_limits() -> None:
    none, some = Share.counted([]), Share.counted([True] * 20)
    assert (none.low, none.high) == (0, 1)
    # Clopper-Pearson of 20 of 20: 0.025 ** (1 / 20)
    assert some.low == pytest.approx(0.025 ** (1 / 20), abs=1e-6)
    assert some.high == 1


def test_the_table_counts_by_strength(audits: tuple[PlantedAudit, ...]) -> None:
    table = Calibration(planted=audits, simulated=()).render()
    assert "2 to inf" in table
    assert "shams that alarm" in table
    assert "simulated" not in table


def test_the_command_writes_what_it_prints(tmp_path) -> None:
    target = tmp_path / "calibration.json"
    arguments = ["calibrate", "--models", "0", "--simulations", "6", "--json", str(target)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "interval holds the true gap" in result.output
    assert len(Calibration.model_validate_json(target.read_text()).simulated) == 6
