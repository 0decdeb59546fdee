"""Calibration: the auditor run where the truth is known, and how often it is right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pm_audit.pipelines.audit import Auditor
from pm_audit.spec import Settings
from recipes.biased.biases import NEGATIVE_CONTROLS, PLANTED
from recipes.biased.pm import load_biased
from recipes.calibrate.planted import audit_planted
from recipes.calibrate.result import Calibration, PlantedAudit, TrainedAudit
from recipes.calibrate.simulated import simulate
from recipes.calibrate.trained import audit_trained

__all__ = ["Calibration", "Extent", "audit_planted", "audit_trained", "calibrate", "simulate"]

_SETTINGS = Settings(pm="biased", null_sets=10, candidates=24, bootstrap_resamples=1_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much a calibration runs."""

    models: int
    """Constructed models; each is audited with one hypothesis a mark, half of them negative
    controls."""
    simulations: int
    """Audits whose evidence is drawn from populations that are known."""
    trained: int
    """Audits of the biased PM by each hypothesis and contrast; none leaves that PM out."""
    explain: bool
    """Run a full audit of the biased PM by each hypothesis as well."""
    seed: int = 0
    """Of everything that is drawn."""


def calibrate(
    extent: Extent, *, report: Callable[[str], None] = lambda _message: None
) -> Calibration:
    """Audit constructed models and the biased PM, and judge simulated evidence.

    Raises:
        DownloadError: the biased PM's base is not cached and cannot be fetched.
        ModelError: there is no biased PM, or it was trained from another default PM.

    """
    seed = extent.seed
    planted: list[PlantedAudit] = []
    for number in range(extent.models):
        report(f"constructed model {number + 1} of {extent.models}")
        planted += audit_planted(seed=seed + number)
    trained: tuple[TrainedAudit, ...] = ()
    if extent.trained:
        trained = audit_trained(
            Auditor(_SETTINGS, subject=load_biased()),
            (*PLANTED, *NEGATIVE_CONTROLS),
            audits=extent.trained,
            explain=extent.explain,
            seed=seed,
            report=report,
        )
    return Calibration(
        planted=tuple(planted),
        simulated=simulate(extent.simulations, seed=seed),
        trained=trained,
    )
