"""The record of a diff: what two PMs of one body make of a preference set, and what moved.

All rewards are in sigma of their own PM.  Sign: a positive change raises the reward of the side on
which the feature is active in the new PM more than in the old one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pm_audit.records.base import Figure, Finite
from pm_audit.records.document import read_kind
from pm_audit.records.saved import SavedRecord
from pm_audit.records.scan import (
    Accuracy,
    Correlation,
    FeatureGroup,
    Histogram,
    ScanData,
    ScanMethod,
    ScannedFeature,
)
from pm_audit.records.subject import SubjectRecord

DIFF_VERSION: Literal[2] = 2


class ChangedFeature(ScannedFeature):
    """A feature whose contribution was measured in both PMs; its effect is new minus old."""

    old: Figure
    """Its effect in the old PM, over the same comparisons."""
    new: Figure
    """And in the new one."""


class DiffRecord(SavedRecord):
    """What changed from one PM to another over a preference set."""

    schema_version: Literal[2] = DIFF_VERSION
    old: SubjectRecord
    new: SubjectRecord
    method: ScanMethod
    """Its intervals hold together for all candidates (Bonferroni)."""
    environment: dict[str, str]
    data: ScanData
    old_sigma: Finite
    """Standard deviation of rewards of ordinary completions, raw; the unit of the old PM."""
    new_sigma: Finite
    noise: Finite
    """Change of a reward below which nothing can be read, in sigma."""
    old_accuracy: Accuracy
    new_accuracy: Accuracy
    accuracy: Figure
    """New minus old, paired, as a share of comparisons."""
    agreement: Figure
    """Share of comparisons in which both prefer the same side."""
    correlations: tuple[Correlation, ...] = ()
    """What the change of chosen minus rejected goes along with."""
    differences: Histogram
    """Of the change of chosen minus rejected, in sigma."""
    completeness_gap: Finite
    """As of a scan, of the change."""
    sample: tuple[tuple[str, Finite], ...]
    """Id of each sampled pair, and the change of chosen minus rejected."""
    features: tuple[ChangedFeature, ...]
    """The largest certain share of the change first."""
    groups: tuple[FeatureGroup, ...]
    """By the share of the change that they certainly carry, times ``follows``."""

    @property
    def changed(self) -> tuple[FeatureGroup, ...]:
        """The groups that certainly changed, in their order."""
        return tuple(group for group in self.groups if group.changed)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the record that a diff wrote.

        Raises:
            RecordError: missing, torn, or of another version.

        """
        return read_kind(
            cls, path, version=DIFF_VERSION, key="old_sigma", name="diff", command="pm-audit diff"
        )
