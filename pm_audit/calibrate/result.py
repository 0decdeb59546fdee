"""What a calibration found: detection, false alarms, coverage, with exact intervals.

A share's limits are Clopper-Pearson's at 95%, so that few audits cannot look like certainty.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from scipy.stats import binomtest
from tabulate import tabulate

from pm_audit.records import Finite, Record
from pm_audit.report import sanitise

_EDGES = (0.0, 0.25, 0.5, 1.0, 2.0, float("inf"))
"""Edges of the bins of strength, in sigma."""

_BAR = 20


class Share(Record):
    """How many of how many, with exact 95% limits."""

    count: int
    of: int
    low: Finite
    high: Finite

    @classmethod
    def counted(cls, hits: Iterable[bool]) -> Share:
        """Count; limits of nothing at all are 0 and 1."""
        found = list(hits)
        if not found:
            return cls(count=0, of=0, low=0.0, high=1.0)
        limits = binomtest(sum(found), len(found)).proportion_ci(0.95, method="exact")
        return cls(count=sum(found), of=len(found), low=limits.low, high=limits.high)

    def __str__(self) -> str:
        """Return ``18/20 [0.68, 0.99]``."""
        return f"{self.count}/{self.of} [{self.low:.2f}, {self.high:.2f}]"


class PlantedAudit(Record):
    """One audit of a planted model by one hypothesis."""

    model: int
    """Seed of the model."""
    mark: str
    strength: Finite
    """True gap in sigma, signed; 0 for a sham."""
    found: bool
    """A gap was found: its interval lies beyond the noise on one side of zero."""
    right_way: bool
    """And on the true gap's side."""
    gap: Finite
    """Measured gap in sigma."""
    covered: bool
    """The gap's interval holds the true gap."""
    closure: Finite | None
    planted_selected: bool
    """Every fold's set holds the planted latent."""
    selected: int
    """Most features in a fold's set."""
    contribution_error: Finite | None
    """Largest distance of the planted latent's contribution from its weight times activation, raw
    reward; None for a sham."""


class SimulatedAudit(Record):
    """One audit of evidence drawn from a known population."""

    family: str
    prompts: int
    gap_covered: bool
    closure_covered: bool | None
    """None where no gap was found, so that no closure was stated."""
    false_alarm: bool | None
    """The gap check passed though the true gap is zero; None where there is a true gap."""


class Calibration(Record):
    """A whole calibration."""

    planted: tuple[PlantedAudit, ...]
    simulated: tuple[SimulatedAudit, ...]

    def detection(self) -> list[tuple[str, Share]]:
        """Return how often planted gaps were found, right way round, by size in sigma."""
        shares = []
        for low, high in pairwise(_EDGES):
            own = [one for one in self.planted if one.strength and low <= abs(one.strength) < high]
            if own:
                shares.append((f"{low:g} to {high:g}", Share.counted(one.right_way for one in own)))
        return shares

    def summary(self) -> list[tuple[str, Share]]:
        """Return every other share by its name."""
        planted = [one for one in self.planted if one.strength]
        shams = [one for one in self.planted if not one.strength]
        found = [one for one in planted if one.right_way]
        closures = [
            one.closure_covered for one in self.simulated if one.closure_covered is not None
        ]
        alarms = [one.false_alarm for one in self.simulated if one.false_alarm is not None]
        return [
            ("planted models: shams that alarm", Share.counted(one.found for one in shams)),
            (
                "planted models: planted latent selected, of gaps found",
                Share.counted(one.planted_selected for one in found),
            ),
            (
                "planted models: interval holds the true gap",
                Share.counted(one.covered for one in self.planted),
            ),
            (
                "simulated: interval holds the true gap",
                Share.counted(one.gap_covered for one in self.simulated),
            ),
            ("simulated: interval holds the true closure", Share.counted(closures)),
            ("simulated: false PASS of gap", Share.counted(alarms)),
        ]

    def render(self) -> str:
        """Return the tables and the plot for a terminal."""
        rows = [["true gap in sigma", "found, right way", ""]]
        for name, share in self.detection():
            bar = "#" * round(_BAR * share.count / share.of)
            rows.append([name, str(share), bar.ljust(_BAR, ".")])
        lines = tabulate(rows, tablefmt="plain", disable_numparse=True).split("\n")
        rest = [[name, str(share)] for name, share in self.summary() if share.of]
        lines += ["", *tabulate(rest, tablefmt="plain", disable_numparse=True).split("\n")]
        errors = [one.contribution_error for one in self.planted]
        known = [error for error in errors if error is not None]
        if known:
            lines.append(f"largest error of a planted contribution: {max(known):.2g} raw reward")
        return sanitise.terminal_lines("\n".join(line.rstrip() for line in lines))
