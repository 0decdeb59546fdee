"""The shares of a calibration: detection against strength, alarms, coverage.

A gap counts as found when the `gap` check finds it on its true side; a negative control alarms when
it finds one on either side.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from pm_audit.records import Outcome
from recipes.calibrate.result import (
    Calibration,
    ChanceAudit,
    FreshAudit,
    GapAudits,
    Share,
    TrainedAudit,
)

EDGES = (0.0, 0.25, 0.5, 1.0, 2.0, float("inf"))
"""Edges of the bins of strength, in sigma."""

SIZEABLE = 0.5
"""Gap in sigma that an audit should rarely miss."""


@dataclass(frozen=True, slots=True)
class Detected:
    """How often gaps of about one size were found."""

    label: str
    size: float
    """In sigma, without its sign; mean over the gaps."""
    share: Share


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of audit whose truth is known."""

    title: str
    kind: str
    """Names its colour in the plot."""
    detected: tuple[Detected, ...]
    """By size."""
    alarms: Share
    """Of its negative controls."""


def families(calibration: Calibration) -> tuple[Family, ...]:
    """Return detection by size and alarms, for every kind of audit that was run."""
    found = []
    if calibration.planted:
        found.append(_constructed(calibration))
    trained = calibration.trained
    if trained:
        found.append(_trained("trained, matched", "matched", trained, [a.matched for a in trained]))
        found.append(
            _trained("trained, unmatched", "unmatched", trained, [a.unmatched for a in trained])
        )
    return tuple(found)


def summary(calibration: Calibration) -> list[tuple[str, Share]]:
    """Return every other share by its name."""
    return [
        *_of_constructed(calibration),
        *_of_trained(calibration),
        *_of_fresh(calibration),
        *_of_simulated(calibration),
    ]


def covered(audits: Iterable[FreshAudit]) -> Share:
    """Return how many intervals of closure hold the closure on fresh prompts."""
    return Share.counted(one.covered for one in audits if one.covered is not None)


def passed(audits: Iterable[FreshAudit | ChanceAudit]) -> Share:
    """Return in how many audits `explained` passes."""
    return Share.counted(one.explained is Outcome.PASS for one in audits)


def pooled(audits: Iterable[GapAudits]) -> tuple[Share, Share]:
    """Return how many of all these audits found a gap, and how many covered it."""
    counted = list(audits)
    total = sum(one.audits for one in counted)
    return (
        Share.of_all(sum(one.found for one in counted), total),
        Share.of_all(sum(one.covered for one in counted), total),
    )


def _constructed(calibration: Calibration) -> Family:
    detected = []
    for low, high in pairwise(EDGES):
        own = [
            one for one in calibration.planted if one.strength and low <= abs(one.strength) < high
        ]
        if own:
            label = f"{low:g} or more" if high == EDGES[-1] else f"{low:g} to {high:g}"
            share = Share.counted(one.right_way for one in own)
            detected.append(Detected(label, fmean(abs(one.strength) for one in own), share))
    negative_controls = (one.found for one in calibration.planted if not one.strength)
    return Family("constructed", "constructed", tuple(detected), Share.counted(negative_controls))


def _trained(
    title: str, kind: str, trained: Sequence[TrainedAudit], audits: Sequence[GapAudits]
) -> Family:
    both = list(zip(trained, audits, strict=True))
    detected = [
        Detected(one.name, abs(one.gap), pooled([counted])[0])
        for one, counted in both
        if not one.negative_control
    ]
    alarms, _ = pooled(counted for one, counted in both if one.negative_control)
    return Family(title, kind, tuple(sorted(detected, key=lambda one: one.size)), alarms)


def _of_constructed(calibration: Calibration) -> list[tuple[str, Share]]:
    audits = calibration.planted
    found = [one for one in audits if one.strength and one.right_way]
    return [
        (
            "constructed: negative controls that alarm",
            Share.counted(a.found for a in audits if not a.strength),
        ),
        (
            "constructed: planted latent selected by every fold, of gaps found",
            Share.counted(one.planted_selected for one in found),
        ),
        (
            "constructed: interval holds the true gap",
            Share.counted(one.covered for one in audits),
        ),
    ]


def _of_trained(calibration: Calibration) -> list[tuple[str, Share]]:
    planted = [one for one in calibration.trained if not one.negative_control]
    negative_controls = [one for one in calibration.trained if one.negative_control]
    sizeable = [one for one in planted if abs(one.gap) >= SIZEABLE]
    return [
        (
            f"trained, matched: gaps of {SIZEABLE:g} sigma or more found",
            pooled(one.matched for one in sizeable)[0],
        ),
        (
            "trained, matched: negative controls that alarm",
            pooled(one.matched for one in negative_controls)[0],
        ),
        (
            "trained, unmatched: negative controls that alarm",
            pooled(one.unmatched for one in negative_controls)[0],
        ),
        (
            "trained, matched: interval holds the true gap",
            pooled(one.matched for one in calibration.trained)[1],
        ),
        (
            "trained, unmatched: interval holds the true gap",
            pooled(one.unmatched for one in calibration.trained)[1],
        ),
    ]


def _of_fresh(calibration: Calibration) -> list[tuple[str, Share]]:
    subjects = dict.fromkeys(one.subject for one in calibration.fresh)
    return [
        (
            f"{subject}: interval holds the closure on fresh prompts",
            covered(one for one in calibration.fresh if one.subject == subject),
        )
        for subject in subjects
    ]


def _of_simulated(calibration: Calibration) -> list[tuple[str, Share]]:
    audits = calibration.simulated
    closures = [one.closure_covered for one in audits if one.closure_covered is not None]
    alarms = [one.false_alarm for one in audits if one.false_alarm is not None]
    return [
        (
            "simulated: interval holds the true gap",
            Share.counted(one.gap_covered for one in audits),
        ),
        ("simulated: interval holds the true closure", Share.counted(closures)),
        ("simulated: false PASS of gap", Share.counted(alarms)),
    ]
