"""A pair: one prompt, what is compared on it, and the columns that it came with.

Completions are written as everywhere in pm_audit: one leading space, which formats that write a
separator of their own leave out.  A text of a data set that begins with white space is kept
verbatim, any other gets the space.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from pm_audit.data.dialogue import Dialogue

Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Pair:
    """One row of a preference set."""

    id: str
    """From the data's own column, or made from the row's content; unique in its set."""
    row: int
    """Place in its file, from 0."""
    turns: Dialogue
    """The prompt; its last turn is the human's."""
    examples: tuple[str, ...]
    """Preferred completions, or those that do what a hypothesis claims, verbatim; at least one."""
    counter_examples: tuple[str, ...]
    """Rejected completions, or those that do not; at least one."""
    columns: Mapping[str, Scalar]
    """The row's other columns that hold one value, for strata and filters."""


class SkipReason(StrEnum):
    """Why a row is no pair."""

    UNREADABLE = "unreadable"
    """Not JSON, not an object, or a file's row that its library cannot decode."""
    MISSING = "missing column"
    WRONG_TYPE = "wrong type"
    EMPTY = "empty text"
    IDENTICAL = "identical sides"
    DUPLICATE = "duplicate"
    PREFIX = "different prompts"
    """Two transcripts that do not share a prompt."""
    TOO_LONG = "too long"
    """For the PM that reads it."""
    REFUSED = "refused by the text format"
    """The PM's format or chat template cannot write it."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A row that was left out."""

    row: int
    """Place in its file, from 0."""
    reason: SkipReason
    detail: str
    """One sentence about this row."""


@dataclass(frozen=True)
class PairSet:
    """What was read from a preference set."""

    file: str
    """As it was named."""
    sha256: str
    """Of the file's bytes; of a folder, of its files' hashes in order."""
    rows: int
    """Rows of the file, before anything was left out."""
    excluded: int
    """Rows that a filter left out; they are not skipped."""
    pairs: tuple[Pair, ...]
    """In the file's order."""
    skipped: tuple[Skipped, ...]

    @property
    def available(self) -> int:
        """Pairs before a sample was drawn."""
        return self.rows - self.excluded - len(self.skipped)

    def skipped_by_reason(self) -> dict[SkipReason, int]:
        """Return how many rows were skipped for each reason, most first."""
        return dict(Counter(one.reason for one in self.skipped).most_common())
