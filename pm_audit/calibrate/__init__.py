"""Calibration: the auditor run where the truth is known, and how often it is right."""

from pm_audit.calibrate.planted import audit_planted
from pm_audit.calibrate.result import Calibration
from pm_audit.calibrate.simulated import simulate

__all__ = ["Calibration", "audit_planted", "calibrate", "simulate"]


def calibrate(*, models: int, simulations: int, seed: int = 0) -> Calibration:
    """Audit planted models, and judge simulated evidence.

    Args:
        models: planted models; each is audited with one hypothesis a mark, half of them shams.
        simulations: audits whose evidence is drawn from populations that are known.
        seed: of everything that is drawn.

    """
    planted = tuple(
        audit for number in range(models) for audit in audit_planted(seed=seed + number)
    )
    return Calibration(planted=planted, simulated=simulate(simulations, seed=seed))
