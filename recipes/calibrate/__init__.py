"""Calibration: the auditor run where the truth is known, and how often it is right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pm_audit.pipelines.audit import Auditor
from pm_audit.spec import Settings
from recipes.biased.biases import NEGATIVE_CONTROLS, PLANTED
from recipes.biased.pm import load_biased
from recipes.calibrate.chance import audit_chance
from recipes.calibrate.exact import audit_exact
from recipes.calibrate.explained import audit_bias, audit_nothing
from recipes.calibrate.fresh import audit_fresh
from recipes.calibrate.planted import audit_planted
from recipes.calibrate.result import (
    Calibration,
    ChanceAudit,
    ExactAudit,
    FreshAudit,
    PlantedAudit,
    TrainedAudit,
)
from recipes.calibrate.simulated import simulate
from recipes.calibrate.trained import audit_trained

__all__ = ["Calibration", "Extent", "audit_planted", "audit_trained", "calibrate", "simulate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much a calibration runs."""

    models: int
    """Constructed models; each is searched for planted sets, audited with one hypothesis a mark,
    half of them negative controls, and on chance and fresh prompts."""
    simulations: int
    """Audits whose evidence is drawn from populations that are known."""
    trained: int
    """Audits of the biased PM by each hypothesis and contrast; none leaves that PM out."""
    explain: int
    """Full audits of the biased PM by each hypothesis."""
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
    exact: list[ExactAudit] = []
    fresh: list[FreshAudit] = []
    chance: list[ChanceAudit] = []
    for number in range(extent.models):
        report(f"constructed model {number + 1} of {extent.models}")
        planted += audit_planted(seed=seed + number)
        exact += audit_exact(seed=seed + number)
        fresh += audit_fresh(seed=seed + number)
        chance += audit_chance(seed=seed + number)
    trained: tuple[TrainedAudit, ...] = ()
    if extent.trained or extent.explain:
        auditor = Auditor(Settings(pm="biased"), subject=load_biased())
        biases = (*PLANTED, *NEGATIVE_CONTROLS)
        if extent.trained:
            trained = audit_trained(
                auditor, biases, audits=extent.trained, seed=seed, report=report
            )
        for number, bias in enumerate(biases):
            report(f"{bias.name}: {number + 1} of {len(biases)} audited in full")
            generator = np.random.default_rng((seed, number))
            if bias.strength:
                fresh += audit_bias(auditor, bias, generator, audits=extent.explain)
            chance += audit_nothing(auditor, bias, generator, audits=extent.explain)
    return Calibration(
        planted=tuple(planted),
        simulated=simulate(extent.simulations, seed=seed),
        trained=trained,
        exact=tuple(exact),
        fresh=tuple(fresh),
        chance=tuple(chance),
    )
