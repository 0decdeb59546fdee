"""What a repair does to preference accuracy: candidates, the choice, and how it was judged.

Sign: a change is accuracy after the repair minus accuracy before it, so positive is better.
Accuracies are shares of pairs, 0 to 1; of a pair with several completions a side, the share of its
comparisons that the PM decides as the labellers did, where a tie counts one half.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import Field

from pm_audit.records.base import Feature, Figure, Finite, Record
from pm_audit.records.document import read_kind
from pm_audit.records.saved import SavedRecord
from pm_audit.records.subject import SubjectRecord

REPAIR_VERSION = 1

ALL = "all"
"""The subset of all pairs."""


class Level(StrEnum):
    """Where features are put."""

    CONTRAST = "contrast"
    """Their mean over the counter-examples of the hypothesis that they explain."""
    MEAN = "mean"
    """Their mean over ordinary completions."""
    ZERO = "zero"


class RepairKind(StrEnum):
    """What is put at the level, and where."""

    FEATURES = "features"
    """The features, at every token of every completion; the error term and prompts stay."""
    DIRECTIONS = "directions"
    """The stream's component in the span of their decoder rows, at every token of every text, from
    the embedding up to the SAE's block: plain weights do that."""


class RepairCandidate(Record):
    """One repair, and what it does to the pairs on which it may be chosen."""

    name: str
    """The hypothesis whose set it is, or the feature."""
    kind: RepairKind
    level: Level
    features: tuple[Feature, ...]
    change: dict[str, Finite]
    """Change of accuracy on the choosing pairs, by subset; ``all`` is of all pairs."""

    def __str__(self) -> str:
        """Return ``urls (11 features, zero)``."""
        many = "feature" if len(self.features) == 1 else "features"
        kind = many if self.kind is RepairKind.FEATURES else f"{many}' directions"
        return f"{self.name} ({len(self.features)} {kind}, {self.level})"


class SubsetChange(Record):
    """Accuracy on the judging pairs of one subset."""

    subset: str
    pairs: int
    prompts: int
    before: Finite
    after: Finite
    change: Figure
    """Paired over prompts."""


class JudgedRepair(Record):
    """A repair that was chosen for a subset, on pairs that took no part in the choice."""

    target: str
    """The subset it was chosen for; ``all`` for all pairs."""
    candidate: RepairCandidate
    subsets: tuple[SubsetChange, ...]
    """All pairs first."""
    helps: bool
    """The target gains with an interval above zero, and all pairs lose at most the tolerance."""
    reason: str


class Miscalibration(Record):
    """How far the PM leans on a contrast beyond the labellers, among pairs that hold it once."""

    contrast: str
    """A hypothesis' set, a column, or ``longer``: which side of a pair shows more of it."""
    pairs: int
    """Pairs of which exactly one side shows it."""
    prompts: int
    by_pm: Finite
    """Share of these in which the PM prefers the side that shows it."""
    by_labellers: Finite
    difference: Figure
    """PM minus labellers, paired over prompts; positive: the PM leans towards it too far."""


class PairsRead(Record):
    """Where pairs came from and what became of its rows."""

    file: str
    sha256: str
    rows: int
    pairs: int
    """Used."""
    prompts: int
    skipped: dict[str, int] = Field(default_factory=dict)
    """Rows left out, by reason."""


class RepairRecord(SavedRecord):
    """Which verified features were tried, what was chosen, and what it does elsewhere."""

    schema_version: int = REPAIR_VERSION
    created: str
    """UTC, ISO 8601."""
    audit_digest: str
    """Digest of the audit record whose features these are."""
    subject: SubjectRecord
    chosen_on: PairsRead
    judged_on: PairsRead
    by: str | None
    """Column that names the subsets."""
    tolerance: Finite
    """Most accuracy that all pairs may lose."""
    confidence: Finite
    """Coverage of the intervals of a repair's changes, all its targets together 0.95 or as set."""
    seed: int
    candidates: tuple[RepairCandidate, ...]
    """By their change on the choosing pairs, best first."""
    judged: tuple[JudgedRepair, ...]
    miscalibration: tuple[Miscalibration, ...]
    notes: tuple[str, ...] = ()
    """What was left out, and why."""

    @property
    def best(self) -> JudgedRepair | None:
        """The first repair that helps its target; None if none does."""
        return next((one for one in self.judged if one.helps), None)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a record back.

        Raises:
            RecordError: the file is missing, torn, or of another version.

        """
        return read_kind(
            cls,
            path,
            version=REPAIR_VERSION,
            key="judged_on",
            name="repair",
            command="pm-audit repair",
        )
