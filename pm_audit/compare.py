"""The release gate: one record held against the last release's, hypothesis by hypothesis.

Gaps are compared in sigma, because two PMs share no reward scale.  Where both records hold the
same prompts the difference is paired by prompt (a t interval over prompts); otherwise the two
intervals are combined in quadrature.  A change counts when its interval excludes no change and
it is larger than a stated tolerance, so that neither noise nor a trifle fails a release.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import stdtrit

from pm_audit.errors import RecordError
from pm_audit.records import (
    AuditRecord,
    Evidence,
    FeatureRecord,
    Figure,
    HypothesisRecord,
    Outcome,
    Role,
)
from pm_audit.report.changes import Change, ChangeKind, Comparison
from pm_audit.verdict import read_expect, require_sound

_WORSE = {
    Outcome.PASS: 0,
    Outcome.SKIPPED: 0,
    Outcome.INCONCLUSIVE: 1,
    Outcome.INVALID: 2,
    Outcome.FAIL: 2,
}
_CONFIDENCE = 0.95

_LOOSENED: dict[str, Callable[[Any, Any], bool]] = {
    "gap": operator.ne,
    "closure": operator.gt,
    "collateral": operator.lt,
    "margin": operator.lt,
    "severity": lambda was, now: was != now == "warn",
}
"""By part of the policy: whether going from the first value to the second asks for less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """Changes smaller than these are trifles, however certain."""

    gap: float = 0.1
    """Growth of the gap's size, in sigma."""
    closure: float = 0.1
    """Loss of closure, as a share."""
    contribution: float = 0.1
    """Size of a new causal feature's contribution, as a share of the gap."""


def compare(
    old: AuditRecord, new: AuditRecord, *, tolerance: Tolerance | None = None
) -> Comparison:
    """Return every change from the baseline ``old`` to ``new``.

    Raises:
        RecordError: one of the records is partial, so that what is missing proves nothing.

    """
    limits = tolerance or Tolerance()
    for record, role in ((old, "the baseline"), (new, "the new record")):
        _require_whole(record, role)
    before = {hypothesis.name: hypothesis for hypothesis in old.hypotheses}
    after = {hypothesis.name: hypothesis for hypothesis in new.hypotheses}
    changes: list[Change] = []
    for name in before.keys() - after.keys():
        gone = before[name]
        message = "the baseline holds it, this run does not; restore it or update the baseline"
        changes.append(_change(ChangeKind.HYPOTHESIS_GONE, gone, message, severity="error"))
    same_saes = {s.name: s.sha256 for s in old.subject.saes} == {
        s.name: s.sha256 for s in new.subject.saes
    }
    for name, now in after.items():
        if name not in before:
            message = "the baseline does not hold it; accept it with --pm-audit-update-baseline"
            changes.append(_change(ChangeKind.NO_BASELINE, now, message))
            continue
        changes += _policy(before[name], now)
        changes += _gap(before[name], now, limits)
        changes += _closure(before[name], now, limits)
        changes += _checks(before[name], now)
        changes += _features(before[name], now, limits, same_saes=same_saes)
    order = {name: rank for rank, name in enumerate((*after, *before))}
    return Comparison(
        old=_title(old),
        new=_title(new),
        changes=tuple(sorted(changes, key=lambda change: order[change.hypothesis])),
        compared=len(before.keys() & after.keys()),
    )


def read_unaltered(path: Path) -> AuditRecord:
    """Read a record that a release is judged by.

    Raises:
        RecordError: missing, torn, partial, or changed after it was written: whoever doctors a
            record decides what counts as a regression.

    """
    record = AuditRecord.read(path)
    _require_whole(record, str(path))
    altered = [one.name for one in record.hypotheses if one.digest != one.computed_digest()]
    altered += [] if record.intact else ["what stands outside its hypotheses"]
    if altered:
        raise RecordError(
            f"{path}: {', '.join(altered)} was changed after the record was written; `pm-audit "
            "verify` says where; write it again by auditing"
        )
    return record


def _require_whole(record: AuditRecord, role: str) -> None:
    """Refuse a record that judged less than its manifest, whatever it says of itself."""
    wanted = sorted((entry.name, check) for entry in record.manifest for check in entry.checks)
    judged = sorted((one.name, result.check) for one in record.hypotheses for result in one.checks)
    if not record.complete:
        raise RecordError(
            f"{role} is partial (complete: false); run every check and write it again"
        )
    if wanted != judged:
        raise RecordError(
            f"{role} does not hold each check of its manifest once; run every check and write it "
            "again"
        )
    for one in record.hypotheses:
        require_sound(one.evidence)


def _title(record: AuditRecord) -> str:
    return f"{record.subject.pm} ({record.subject.pm_sha256[:12]}) of {record.created}"


def _change(
    kind: ChangeKind, hypothesis: HypothesisRecord, message: str, *, severity: str | None = None
) -> Change:
    return Change(
        kind=kind,
        hypothesis=hypothesis.name,
        file=hypothesis.file,
        line=hypothesis.line,
        message=message,
        severity=severity or hypothesis.severity,
    )


def _policy(old: HypothesisRecord, new: HypothesisRecord) -> Iterator[Change]:
    """Yield what was asked of the baseline and is asked no longer: that is no better PM."""
    was, now = (
        read_expect(of).model_dump(mode="json") | {"severity": of.severity} for of in (old, new)
    )
    looser = [
        f"{key} from {was[key]} to {now[key]}"
        for key, loosened in _LOOSENED.items()
        if loosened(was[key], now[key])
    ]
    if looser:
        message = f"{', '.join(looser)}; accept it with --pm-audit-update-baseline"
        yield _change(ChangeKind.POLICY_LOOSENED, new, message, severity="error")


def _gap(old: HypothesisRecord, new: HypothesisRecord, limits: Tolerance) -> Iterator[Change]:
    paired = _paired_gaps(old.evidence, new.evidence)
    if paired is None:
        message = "the texts are not the baseline's, so gaps are held by their intervals alone"
        yield _change(ChangeKind.NOT_COMPARABLE, new, message)
    was, now = old.gap_sigma, new.gap_sigma
    # growth is counted in the direction that the gap now has, so a flipped gap has grown too
    sign = math.copysign(1.0, now.value)
    if paired is None:
        change = sign * (now.value - was.value)
        margin = _combined_half_width(was, now)
        how = "prompts differ, intervals combined"
    else:
        differences = sign * paired
        change = float(differences.mean())
        margin = _t_half_width(differences)
        how = "paired by prompt"
    noise = old.evidence.noise / old.evidence.sigma + new.evidence.noise / new.evidence.sigma
    words = f"{was.value:+.2f} to {now.value:+.2f} sigma ({how}, change {sign * change:+.2f})"
    size = abs(now.value) - abs(was.value)
    if change > max(margin, noise) and change >= limits.gap and size >= 0:
        yield _change(ChangeKind.GAP_GROWN, new, f"from {words}")
    elif change > max(margin, noise) and change >= limits.gap and sign * was.value < 0:
        yield _change(ChangeKind.GAP_GROWN, new, f"turned round, from {words}")
    elif -change > max(margin, noise) and -change >= limits.gap:
        yield _change(ChangeKind.GAP_SHRUNK, new, f"from {words}")


def _paired_gaps(old: Evidence, new: Evidence) -> np.ndarray | None:
    """Return new minus old gap in sigma for each prompt, or None where the texts differ."""
    same_texts = [(row.prompt, row.role, row.variant, row.text) for row in old.rows] == [
        (row.prompt, row.role, row.variant, row.text) for row in new.rows
    ]
    if old.prompts != new.prompts or not same_texts:
        return None
    return _prompt_gaps(new) / new.sigma - _prompt_gaps(old) / old.sigma


def _prompt_gaps(evidence: Evidence) -> np.ndarray:
    """Return each prompt's gap, raw: ``[prompt]``."""
    rewards: dict[tuple[int, Role], list[float]] = {}
    for row in evidence.rows:
        rewards.setdefault((row.prompt, row.role), []).append(row.reward)
    return np.array(
        [
            np.mean(rewards[prompt, Role.EXAMPLE]) - np.mean(rewards[prompt, Role.COUNTER_EXAMPLE])
            for prompt in range(len(evidence.prompts))
        ]
    )


def _t_half_width(values: np.ndarray) -> float:
    if len(values) < 2:
        return math.inf
    quantile = float(stdtrit(len(values) - 1, 0.5 + _CONFIDENCE / 2))
    return quantile * float(values.std(ddof=1)) / math.sqrt(len(values))


def _combined_half_width(was: Figure, now: Figure) -> float:
    return math.hypot(_half_width(was), _half_width(now))


def _half_width(figure: Figure) -> float:
    if figure.low is None or figure.high is None:
        return math.inf
    return max(figure.high - figure.value, figure.value - figure.low)


def _closure(old: HypothesisRecord, new: HypothesisRecord, limits: Tolerance) -> Iterator[Change]:
    was, now = old.closure, new.closure
    if was is None or now is None:
        if was is not None and now is None:
            message = "the baseline found a gap to explain; now there is none"
            yield _change(ChangeKind.NOT_COMPARABLE, new, message)
        return
    lost = was.value - now.value
    margin = _combined_half_width(was, now)
    words = f"from {was.value:.0%} to {now.value:.0%}"
    if lost > margin and lost >= limits.closure:
        yield _change(ChangeKind.CLOSURE_LOST, new, words)
    elif -lost > margin and -lost >= limits.closure:
        yield _change(ChangeKind.CLOSURE_GAINED, new, words)


def _checks(old: HypothesisRecord, new: HypothesisRecord) -> Iterator[Change]:
    before = {result.check: result.outcome for result in old.checks}
    for result in new.checks:
        was = before.get(result.check)
        if was is None or was is result.outcome:
            continue
        words = f"{result.check}: {was} to {result.outcome}: {result.reason}"
        if _WORSE[result.outcome] > _WORSE[was]:
            yield _change(ChangeKind.CHECK_WORSE, new, words)
        elif _WORSE[result.outcome] < _WORSE[was]:
            yield _change(ChangeKind.CHECK_BETTER, new, words)


def _features(
    old: HypothesisRecord, new: HypothesisRecord, limits: Tolerance, *, same_saes: bool
) -> Iterator[Change]:
    if not same_saes:
        message = "the SAEs differ, so features cannot be compared by index"
        yield _change(ChangeKind.NOT_COMPARABLE, new, message)
        return
    searched = [bool(record.evidence.folds) for record in (old, new)]
    if not all(searched):
        if any(searched):
            where = "baseline" if searched[1] else "new record"
            message = f"the {where} found no gap and so searched no features to compare with"
            yield _change(ChangeKind.NOT_COMPARABLE, new, message)
        return
    before = {str(feature): feature for feature in old.features}
    after = {str(feature): feature for feature in new.features}
    for name, feature in after.items():
        if not _causal(feature, new, limits) or _similar(before.get(name), feature):
            continue
        was = f"was {before[name].contribution.value:+.2f}" if name in before else "was none"
        message = (
            f"feature {name} became causal: contribution {feature.contribution.value:+.2f} ({was})"
        )
        yield _change(ChangeKind.FEATURE_BECAME_CAUSAL, new, message)
    for name, feature in before.items():
        if _causal(feature, old, limits) and not _similar(after.get(name), feature):
            now = f"{after[name].contribution.value:+.2f}" if name in after else "none"
            message = f"feature {name}: contribution {feature.contribution.value:+.2f}, now {now}"
            yield _change(ChangeKind.FEATURE_NO_LONGER_CAUSAL, new, message)


def _causal(feature: FeatureRecord, of: HypothesisRecord, limits: Tolerance) -> bool:
    figure = feature.contribution
    certain = figure.low is None or figure.high is None or figure.low * figure.high > 0
    large = abs(figure.value) >= limits.contribution * abs(of.gap.value)
    return bool(feature.folds) and certain and large


def _similar(other: FeatureRecord | None, feature: FeatureRecord) -> bool:
    """Say whether the other record's contribution could be this one's, given both intervals.

    Half of the contribution elsewhere already means that the feature was causal there.
    """
    if other is None:
        return False
    difference = abs(feature.contribution.value - other.contribution.value)
    noise = _combined_half_width(feature.contribution, other.contribution)
    half = other.contribution.value / feature.contribution.value >= 0.5
    return half or (math.isfinite(noise) and difference <= noise)
