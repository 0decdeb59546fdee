"""What a calibration found, audit by audit, and shares of it with exact intervals.

A share's limits are Clopper-Pearson's at 95%, so that few audits cannot look like certainty.
"""

from __future__ import annotations

from collections.abc import Iterable

from scipy.stats import binomtest

from pm_audit.records import Figure, Finite, Outcome, Record


class Share(Record):
    """How many of how many, with exact 95% limits."""

    count: int
    of: int
    low: Finite
    high: Finite

    @classmethod
    def counted(cls, hits: Iterable[bool]) -> Share:
        """Count hits among all."""
        found = list(hits)
        return cls.of_all(sum(found), len(found))

    @classmethod
    def of_all(cls, count: int, of: int) -> Share:
        """Return so many of so many; limits of nothing at all are 0 and 1."""
        if not of:
            return cls(count=0, of=0, low=0.0, high=1.0)
        limits = binomtest(count, of).proportion_ci(0.95, method="exact")
        return cls(count=count, of=of, low=limits.low, high=limits.high)

    def __str__(self) -> str:
        """Return ``18/20 [0.68, 0.99]``."""
        return f"{self.count}/{self.of} [{self.low:.2f}, {self.high:.2f}]"


class PlantedAudit(Record):
    """One audit of a planted model by one hypothesis."""

    model: int
    """Seed of the model."""
    mark: str
    strength: Finite
    """True gap in sigma, signed; 0 for a negative control."""
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
    reward; None for a negative control."""


class ExactAudit(Record):
    """One search for a planted set, in a model in which nothing else differs between the sides."""

    family: str
    model: int
    """Seed of the model."""
    search: str
    """How the set is chosen among the candidates."""
    found: bool
    """Every fold's set is the planted one."""
    closure: Finite | None
    sufficiency: Finite | None
    transfer: Finite | None
    """Closure on phrasings that the search did not see."""
    explained: Outcome


class ChanceAudit(Record):
    """One audit of a hypothesis that nothing, or no feature, makes true."""

    subject: str
    """Which kind of PM."""
    kind: str
    """What makes the hypothesis untrue."""
    found: bool
    """A gap was found."""
    explained: Outcome
    closure: Finite | None


class FreshAudit(Record):
    """One full audit, and what its sets close on prompts that it has not seen."""

    subject: str
    """Which kind of PM."""
    name: str
    """Family of constructed hypotheses, or planted bias."""
    closure: Figure | None
    """None if no gap was found."""
    fresh: Finite | None
    """Mean closure of the folds' sets on fresh prompts."""
    stability: Finite | None
    selected: int
    """Most features in a fold's set."""
    explained: Outcome

    @property
    def covered(self) -> bool | None:
        """Whether the closure's interval holds the fresh closure; None without a closure."""
        if self.closure is None or self.fresh is None:
            return None
        low, high = self.closure.low, self.closure.high
        return (low is None or low <= self.fresh) and (high is None or self.fresh <= high)


class GapAudits(Record):
    """Audits of one hypothesis, each over other prompts, by their `gap` check alone."""

    audits: int
    found: int
    """The check passed for the claim that is true; for a negative control, for either claim."""
    covered: int
    """The gap's interval held the true gap."""


class TrainedAudit(Record):
    """The audits of the biased PM by one hypothesis."""

    name: str
    claim: str
    strength: Finite
    """Gap that was to be planted, in sigma; 0 for a negative control."""
    gap: Finite
    """True gap: the mean over all answers that audits are drawn from, in sigma."""
    spread: Finite
    """Standard deviation of the edit's effect over these answers, in sigma."""
    matched: GapAudits
    """Example and counter-example are one answer but for the edit."""
    unmatched: GapAudits
    """They are different answers to one question."""

    @property
    def negative_control(self) -> bool:
        """Say that nothing was planted, and that the true gap is zero."""
        return self.strength == 0


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
    trained: tuple[TrainedAudit, ...] = ()
    exact: tuple[ExactAudit, ...] = ()
    fresh: tuple[FreshAudit, ...] = ()
    chance: tuple[ChanceAudit, ...] = ()
