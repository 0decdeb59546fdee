"""What a repair does to preference accuracy: candidates, the choice, and how it was judged.

Sign: a change is accuracy after the repair minus accuracy before it, so positive is better.
Accuracies are shares of pairs, 0 to 1; of a pair with several completions a side, the share of its
comparisons that the PM decides as the labellers did, where a tie counts one half.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from pydantic import Field, ValidationError

from pm_audit.errors import RecordError
from pm_audit.records.atomic import write_atomically
from pm_audit.records.base import Feature, Figure, Finite, Record
from pm_audit.records.document import json_document, read_document
from pm_audit.records.subject import SubjectRecord

REPAIR_VERSION = 1

SUFFIXES = (".json", ".md", ".html")
"""Of the files that a record is written to."""

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


class RepairRecord(Record):
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

    def __str__(self) -> str:
        """Return the summary that the command prints."""
        from pm_audit.report.preferences import repair

        return repair.terminal(self)

    @property
    def best(self) -> JudgedRepair | None:
        """The first repair that helps its target; None if none does."""
        return next((one for one in self.judged if one.helps), None)

    def save(self, path: Path) -> None:
        """Write the record as its suffix says: ``.html`` and ``.md`` are pages, others JSON."""
        if path.suffix == ".md":
            from pm_audit.report.preferences import repair

            write_atomically(path, repair.markdown(self))
            return
        if path.suffix == ".html":
            from pm_audit.report.html.repair import render

            write_atomically(path, render(self))
            return
        write_atomically(path, json_document(self.model_dump(mode="json")) + "\n")

    @staticmethod
    def is_one(path: Path) -> bool:
        """Whether a file holds a repair, of whatever version.

        Raises:
            RecordError: it cannot be read as a record at all.

        """
        data = read_document(path)
        return isinstance(data, dict) and {"candidates", "judged", "judged_on"} <= data.keys()

    @classmethod
    def read(cls, path: Path) -> RepairRecord:
        """Read a record back.

        Raises:
            RecordError: the file is missing, torn, or of another version.

        """
        data = read_document(path)
        version = data.get("schema_version") if isinstance(data, dict) else None
        if version != REPAIR_VERSION:
            raise RecordError(
                f"{path}: schema_version is {ascii(version)[:40]}, this pm_audit reads "
                f"{REPAIR_VERSION}; run `pm-audit repair` again"
            )
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]
            place = ".".join(map(str, fault["loc"]))
            raise RecordError(
                f"{path}: not a record of a repair: {place}: {fault['msg']}"
            ) from None
