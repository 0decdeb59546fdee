from __future__ import annotations

import pytest

from recipes.calibrate.result import Calibration, GapAudits, TrainedAudit


def _audit(name: str, strength: float, *, found: int) -> TrainedAudit:
    return TrainedAudit(
        name=name,
        claim="It moves the reward.",
        strength=strength,
        gap=1.1 * strength,
        spread=0.1,
        matched=GapAudits(audits=20, found=found, covered=19),
        unmatched=GapAudits(audits=20, found=found // 2, covered=18),
        explanation=None,
    )


@pytest.fixture
def calibration() -> Calibration:
    """A strong and a weak bias, and two negative controls of which one alarms twice."""
    trained = (
        _audit("strong", -2.0, found=20),
        _audit("weak", 0.2, found=8),
        _audit("negative-control-one", 0.0, found=2),
        _audit("negative-control-two", 0.0, found=0),
    )
    return Calibration(planted=(), simulated=(), trained=trained)
