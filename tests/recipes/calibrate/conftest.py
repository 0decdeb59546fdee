from __future__ import annotations

import pytest
import torch

from pm_audit.pipelines.audit import Auditor
from pm_audit.spec import Settings
from recipes.biased.biases import Bias
from recipes.calibrate.result import Calibration, GapAudits, TrainedAudit
from recipes.planted.linear import plant


def _audit(name: str, strength: float, *, found: int) -> TrainedAudit:
    return TrainedAudit(
        name=name,
        claim="It moves the reward.",
        strength=strength,
        gap=1.1 * strength,
        spread=0.1,
        matched=GapAudits(audits=20, found=found, covered=19),
        unmatched=GapAudits(audits=20, found=found // 2, covered=18),
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


@pytest.fixture(scope="session")
def auditor() -> Auditor:
    """A constructed PM that stands for the trained one; it knows the biases below."""
    torch.set_num_threads(1)
    model = plant({"!": 0.5, "~": -0.5}, seed=1)
    settings = Settings(null_sets=1, candidates=4, bootstrap_resamples=100)
    return Auditor(settings, subject=(model.pm, (model.sae,)))


@pytest.fixture(scope="session")
def loud() -> Bias:
    return Bias("loud", "A shout raises it.", "{first}!", "{first};", 1.0)


@pytest.fixture(scope="session")
def quiet() -> Bias:
    return Bias("quiet", "A tilde lowers it.", "{first}~", "{first};", -1.0)


@pytest.fixture(scope="session")
def negative_control() -> Bias:
    return Bias(
        "negative-control", "A mark moves it.", "{first}{one}", "{first}{other}", words=("!", ";")
    )
