"""Which features became causal, and which no longer are."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pm_audit.records import Check, FeatureRecord, HypothesisRecord
from pm_audit.release.figures import combined_half_width
from pm_audit.release.tolerance import Tolerance
from pm_audit.report import feature_words
from pm_audit.report.changes import Change, ChangeKind


def feature_changes(
    old: HypothesisRecord, new: HypothesisRecord, limits: Tolerance, *, same_saes: bool
) -> Iterator[Change]:
    """Yield what carries the gap now and did not, or did and no longer does."""
    if not same_saes:
        message = "the SAEs differ, so features cannot be compared by index"
        yield Change.of(new, ChangeKind.NOT_COMPARABLE, message, check=Check.EXPLAINED)
        return
    searched = [bool(record.evidence.folds) for record in (old, new)]
    if not all(searched):
        if any(searched):
            where = "baseline" if searched[1] else "new record"
            message = f"the {where} found no gap and so searched no features to compare with"
            yield Change.of(new, ChangeKind.NOT_COMPARABLE, message, check=Check.EXPLAINED)
        return
    before = {str(feature): feature for feature in old.features}
    after = {str(feature): feature for feature in new.features}
    for name, feature in after.items():
        if _causal(feature, new, limits) and not _similar(before.get(name), feature):
            message = (
                f"feature {feature_words.name(feature)} became causal: "
                f"contribution {_size(feature)} (was {_size(before.get(name))})"
            )
            yield Change.of(new, ChangeKind.FEATURE_BECAME_CAUSAL, message, check=Check.EXPLAINED)
    for name, feature in before.items():
        if _causal(feature, old, limits) and not _similar(after.get(name), feature):
            now = _size(after.get(name))
            called = feature_words.name(feature)
            message = f"feature {called}: contribution {_size(feature)}, now {now}"
            kind = ChangeKind.FEATURE_NO_LONGER_CAUSAL
            yield Change.of(new, kind, message, check=Check.EXPLAINED)


def _size(feature: FeatureRecord | None) -> str:
    return "none" if feature is None else f"{feature.contribution.value:+.2f}"


def _causal(feature: FeatureRecord, of: HypothesisRecord, limits: Tolerance) -> bool:
    figure = feature.contribution
    certain = figure.low is None or figure.high is None or figure.low * figure.high > 0
    large = abs(figure.value) >= limits.contribution * abs(of.explained_gap.value)
    return bool(feature.folds) and certain and large


def _similar(other: FeatureRecord | None, feature: FeatureRecord) -> bool:
    """Return whether the other record's contribution could be this one's, given both intervals.

    Half of the contribution elsewhere already means that the feature was causal there.
    """
    if other is None:
        return False
    difference = abs(feature.contribution.value - other.contribution.value)
    noise = combined_half_width(feature.contribution, other.contribution)
    half = other.contribution.value / feature.contribution.value >= 0.5
    return half or (math.isfinite(noise) and difference <= noise)
