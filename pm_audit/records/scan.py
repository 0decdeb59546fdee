"""The record of a scan: a preference set, what the PM makes of it, and the features behind it.

Nothing in it depends on when or how often the scan ran, so that one which was interrupted ends
with the same bytes as one that was not.

Sign: a positive effect raises the reward of the side on which the feature is more active.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field

from pm_audit.records.base import Feature, Figure, Finite, Record
from pm_audit.records.document import read_kind
from pm_audit.records.evidence import Firing
from pm_audit.records.label import FeatureLabel
from pm_audit.records.saved import SavedRecord
from pm_audit.records.subject import SubjectRecord

SCAN_VERSION: Literal[1] = 1


class ScanMethod(Record):
    """How pairs were chosen and features measured: every setting that could change a figure."""

    sampler: str
    """``top-gap``, ``stratified`` or ``random``."""
    sample: int
    """Comparisons that were attributed at most."""
    by: str | None
    """Column whose values are strata."""
    shortest: Finite
    """Percentile of length below which comparisons are left out of the sample."""
    longest: Finite
    """Percentile of length above which they are."""
    held_out: Finite
    """Share of prompts that took no part in the ranking, drawn by a hash of seed and prompt."""
    candidates: int
    ablated: int
    """Comparisons on which each candidate was ablated at most."""
    ig_steps: int
    confidence: Finite
    seed: int


class ScanData(Record):
    """The preference set, and what became of its rows."""

    file: str
    sha256: str
    rows: int
    excluded: int
    """Rows that a filter left out."""
    skipped: dict[str, int]
    """Rows that are no pair, and pairs that are too long for the PM, by reason."""
    pairs: int
    """Pairs that were scored."""
    comparisons: int
    """Of a chosen and a rejected text; more than pairs if rows hold several texts a side."""
    filtered: int
    """Comparisons that the length filter left out of the sample."""
    held_out: int
    """Comparisons of held-out prompts, left out of the sample."""
    sampled: int
    """Comparisons whose features were attributed."""


class Accuracy(Record):
    """How often the PM prefers the chosen side, over some comparisons; a tie counts one half."""

    name: str
    """Empty for all; a column's value; a number of turns."""
    comparisons: int
    prompts: int
    accuracy: Figure
    difference: Figure
    """Mean of chosen reward minus rejected, raw."""


class Correlation(Record):
    """How a property of the texts goes along with the PM's preference."""

    name: str
    spearman: Finite
    """Of its difference between the sides with the difference of their rewards."""
    low: Finite
    high: Finite
    labelled: Finite
    """Its mean on chosen sides minus its mean on rejected ones: the lean of the labels."""


class Histogram(Record):
    """Counts of reward differences between equally wide edges."""

    edges: tuple[Finite, ...]
    counts: tuple[int, ...]


class ScannedFeature(Feature):
    """A feature that was ablated for real on sampled comparisons where it is active."""

    effect: Figure
    """Reward of the side on which it is more active, minus the same with it at the other side's
    mean: mean over these comparisons, raw."""
    zero: Figure
    """The same with it silenced."""
    difference: Figure
    """What it adds to chosen minus rejected: the effect, negative where the rejected side is the
    more active one."""
    difference_zero: Figure
    """The same, silenced on both sides."""
    compared: int
    """Comparisons on which it was ablated."""
    moved: Finite
    """Share of these whose reward its contrast moves by more than the noise floor."""
    same_sign: Finite
    """Share of these in which the effect has the sign of its mean."""
    frequency: Finite
    """Share of sampled comparisons in which it is active on a side."""
    tokens: Finite
    """Share of the sample's tokens on which it is active."""
    chosen_more: Finite
    """Mean activation on chosen sides minus that on rejected ones, over the sample."""
    leans_too_far: Figure | None
    """Of the sampled comparisons in which it is active on one side alone, the share in which the PM
    prefers that side minus the share in which the labels do; None if there are none."""
    attribution: Finite
    """Mean attribution on the same sides as the effect."""
    sign_agreement: Finite | None
    """Share of comparisons in which attribution has the sign of the ablation."""
    rank_correlation: Finite | None
    """Spearman correlation of attribution and ablation over comparisons."""
    label: FeatureLabel | None
    share: Figure | None = None
    """Of a diff: what it carries of the change of chosen minus rejected over the sample."""
    promotes: tuple[str, ...] = ()
    """Tokens whose logits its decoder row raises most."""
    firings: tuple[Firing, ...] = ()
    """The sampled texts on which it fires most, cut around the strongest token."""


class FeatureGroup(Record):
    """Features that are active in the same comparisons, or write the same direction."""

    features: tuple[int, ...]
    """Places in ``ScanRecord.features``, strongest first."""
    effect: Figure
    """As a feature's, with all of them at the other side's means together."""
    difference: Figure
    moved: Finite
    compared: int
    similarity: Finite | None
    """Least, over members, of the largest similarity with another: correlation of activity over
    comparisons, or cosine of decoder rows; None for a group of one."""
    share: Figure | None = None
    """As a feature's."""
    follows: Finite | None = None
    """In a diff of two PMs: how closely its activity follows the change of chosen minus rejected,
    the size of their cosine over the sample, 0 to 1."""
    changed: bool = False
    """In a diff: whether its effect certainly changed beyond the noise, or its share is certainly
    above zero; with confidence in all candidates together."""


class ScanRecord(SavedRecord):
    """A scan of one SAE's features over a preference set."""

    schema_version: Literal[1] = SCAN_VERSION
    subject: SubjectRecord
    method: ScanMethod
    environment: dict[str, str]
    data: ScanData
    sigma: Finite
    """Standard deviation of rewards of ordinary completions, raw."""
    noise: Finite
    """Change of a reward below which nothing can be read, raw."""
    overall: Accuracy
    by_column: dict[str, tuple[Accuracy, ...]] = Field(default_factory=dict)
    by_turns: tuple[Accuracy, ...] = ()
    correlations: tuple[Correlation, ...] = ()
    differences: Histogram
    completeness_gap: Finite
    """Attributions plus error term minus the true change, as a share of the true change."""
    sample: tuple[tuple[str, Finite], ...]
    """Id of each sampled pair, and chosen reward minus rejected."""
    features: tuple[ScannedFeature, ...]
    """Most certain effect first: by the end of the interval that is nearer to zero."""
    groups: tuple[FeatureGroup, ...]
    """In the same order."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the record that a scan wrote.

        Raises:
            RecordError: missing, torn, or of another version.

        """
        return read_kind(
            cls, path, version=SCAN_VERSION, key="groups", name="scan", command="pm-audit scan"
        )
