"""What an audit used of a preference set, and what it left out."""

from __future__ import annotations

from pm_audit.records.base import Record

MOST_LISTED = 1_000
"""Skipped rows that a record lists one by one; all are counted."""


class SkippedRow(Record):
    """A row of the file that is no pair for this PM."""

    row: int
    """Place in its file, from 0."""
    reason: str
    detail: str


class PairsEvidence(Record):
    """The file, and the way from its rows to the pairs that were tried."""

    file: str
    """As the hypothesis names it, from the project root."""
    sha256: str
    """Of the file's bytes; of a folder, of its files' hashes in order."""
    rows: int
    """Rows of the file."""
    excluded: int
    """Rows that `where` left out."""
    used: int
    """Pairs that were tried."""
    skipped: dict[str, int]
    """Rows that were skipped, by reason, most first."""
    listed: tuple[SkippedRow, ...] = ()
    """The skipped rows, in the order of the file; the first thousand of them."""
    sample_seed: int | None = None
    """Seed of the sample; None if none was drawn."""
    sample_by: str | None = None
    """Column whose values kept their shares in the sample."""

    @property
    def available(self) -> int:
        """Pairs, those included that a sample left out."""
        return self.rows - self.excluded - sum(self.skipped.values())
