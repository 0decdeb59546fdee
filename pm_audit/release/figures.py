"""Whether a gap grew, is explained less well, side effects grew or an SAE fits worse.

Gaps are compared in sigma, because two PMs have no common reward scale.  If this run holds the
baseline's prompts the difference is paired by prompt (a t interval over prompts); otherwise the
two intervals are combined in quadrature.  A change counts when its interval excludes no change
and it is larger than a stated tolerance, so that neither noise nor a trifle fails a release.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from scipy.special import stdtrit

from pm_audit.records import NOT_PASSED, Check, Evidence, Figure, HypothesisRecord
from pm_audit.release.texts import paired_further, paired_prompts
from pm_audit.release.tolerance import Tolerance
from pm_audit.report.changes import Change, ChangeKind

_CONFIDENCE = 0.95

_SHARES = {
    "closure": (ChangeKind.CLOSURE_LOST, ChangeKind.CLOSURE_GAINED),
    "transfer_closure": (ChangeKind.TRANSFER_LOST, ChangeKind.TRANSFER_GAINED),
    "sufficiency": (ChangeKind.SUFFICIENCY_LOST, ChangeKind.SUFFICIENCY_GAINED),
    "stability": (ChangeKind.STABILITY_LOST, ChangeKind.STABILITY_GAINED),
}
"""By figure that says how well the gap is explained: what it is when less, and when more."""


def figure_changes(
    old: HypothesisRecord, new: HypothesisRecord, limits: Tolerance
) -> Iterator[Change]:
    """Yield what moved by more than noise and more than a trifle.

    Side effects and fit count only if their check is not passed: inside the limit that the
    hypothesis sets for them they are what it allows.
    """
    yield from _gap(old, new, limits)
    yield from _shares(old, new, limits)
    not_passed = {result.check for result in new.checks if result.outcome in NOT_PASSED}
    if Check.SPECIFIC in not_passed:
        yield from _collateral(old, new, limits)
    if Check.FIT in not_passed:
        yield from _fit(old, new, limits)


def combined_half_width(was: Figure, now: Figure) -> float:
    """Return the half-width of a difference of two independent figures."""
    return math.hypot(_half_width(was), _half_width(now))


def _gap(old: HypothesisRecord, new: HypothesisRecord, limits: Tolerance) -> Iterator[Change]:
    paired = _paired_gaps(old.evidence, new.evidence)
    if paired is None:
        message = "the texts are not the baseline's, so gaps are compared by their intervals alone"
        yield Change.of(new, ChangeKind.NOT_COMPARABLE, message, check=Check.GAP)
    was, now = old.gap_sigma, new.gap_sigma
    # growth is counted in the direction that the gap now has, so a flipped gap has grown too
    sign = math.copysign(1.0, now.value)
    if paired is None:
        change = sign * (now.value - was.value)
        margin = combined_half_width(was, now)
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
        yield Change.of(new, ChangeKind.GAP_GROWN, f"from {words}", check=Check.GAP)
    elif change > max(margin, noise) and change >= limits.gap and sign * was.value < 0:
        yield Change.of(new, ChangeKind.GAP_GROWN, f"reversed, from {words}", check=Check.GAP)
    elif -change > max(margin, noise) and -change >= limits.gap:
        yield Change.of(new, ChangeKind.GAP_SHRUNK, f"from {words}", check=Check.GAP)


def _paired_gaps(old: Evidence, new: Evidence) -> np.ndarray | None:
    """Return new minus old gap in sigma for each prompt that both hold, or None."""
    pairs = paired_prompts(old, new)
    if pairs is None:
        return None
    before, after = (list(places) for places in zip(*pairs, strict=True))
    was, now = np.array(old.gaps())[before], np.array(new.gaps())[after]
    further = paired_further(old, new)
    if further is None:
        return None
    was, now = np.append(was, further[0]), np.append(now, further[1])
    return now / new.sigma - was / old.sigma


def _t_half_width(values: np.ndarray) -> float:
    if len(values) < 2:
        return math.inf
    quantile = float(stdtrit(len(values) - 1, 0.5 + _CONFIDENCE / 2))
    return quantile * float(values.std(ddof=1)) / math.sqrt(len(values))


def _half_width(figure: Figure) -> float:
    if figure.low is None or figure.high is None:
        return math.inf
    return max(figure.high - figure.value, figure.value - figure.low)


def _shares(old: HypothesisRecord, new: HypothesisRecord, limits: Tolerance) -> Iterator[Change]:
    if old.closure is not None and new.closure is None:
        message = "the baseline found a gap to explain; now there is none"
        yield Change.of(new, ChangeKind.NOT_COMPARABLE, message, check=Check.EXPLAINED)
    for name, (lost, gained) in _SHARES.items():
        was, now = getattr(old, name), getattr(new, name)
        if was is None or now is None:
            continue
        tolerance = limits.stability if name == "stability" else limits.closure
        change = now.value - was.value
        if abs(change) > combined_half_width(was, now) and abs(change) >= tolerance:
            words = f"from {was.value:.0%} to {now.value:.0%}"
            yield Change.of(new, gained if change > 0 else lost, words, check=Check.EXPLAINED)


def _collateral(
    old: HypothesisRecord, new: HypothesisRecord, limits: Tolerance
) -> Iterator[Change]:
    was, now = old.collateral, new.collateral
    if was is None or now is None:
        return
    grown = now.value - was.value
    if grown > combined_half_width(was, now) and grown >= limits.collateral:
        words = f"from {was.value:.0%} to {now.value:.0%} of the gap"
        yield Change.of(new, ChangeKind.COLLATERAL_GROWN, words, check=Check.SPECIFIC)


def _fit(old: HypothesisRecord, new: HypothesisRecord, limits: Tolerance) -> Iterator[Change]:
    before = {(fit.sae, fit.layer): fit.fvu for fit in old.evidence.fits}
    for fit in new.evidence.fits:
        was = before.get((fit.sae, fit.layer))
        if was is not None and fit.fvu - was >= limits.fvu:
            words = f"SAE {fit.sae} leaves {fit.fvu:.2f} of the variance unexplained, was {was:.2f}"
            yield Change.of(new, ChangeKind.FIT_WORSE, words, check=Check.FIT)
