"""How figures, outcomes and features are put into words, the same in every report.

Nothing here is made safe for a sink: each report passes these words through its own function
of ``sanitise``.
"""

from __future__ import annotations

from statistics import fmean

from pm_audit.records import (
    AuditRecord,
    Check,
    FeatureRecord,
    Figure,
    Firing,
    HypothesisRecord,
    Outcome,
    Unit,
)

OUTCOME_WORDS = {
    Outcome.PASS: "ok",
    Outcome.FAIL: "FAIL",
    Outcome.INCONCLUSIVE: "inc",
    Outcome.INVALID: "inv",
    Outcome.SKIPPED: "skip",
}
"""Four letters at most, so that the four checks fit beside the figures."""

LEGEND = (
    "gap: examples minus counter-examples, in sigma, with its interval; "
    "inc: inconclusive, inv: invalid"
)


def number(figure: Figure) -> str:
    """Return a figure with its unit: ``-1.23 sigma``, ``62%``, ``0.40``."""
    return _number(figure.value, figure.unit) + (" sigma" if figure.unit is Unit.SIGMA else "")


def bounds(figure: Figure) -> str:
    """Return the interval, or nothing where the figure has none."""
    ends = (figure.low, figure.high)
    if ends == (None, None):
        return ""
    low, high = ("unbounded" if end is None else _number(end, figure.unit) for end in ends)
    return f"[{low}, {high}]"


def _number(value: float, unit: Unit) -> str:
    if unit is Unit.SHARE:
        return f"{value:.0%}" if abs(value) >= 0.005 else "0%"  # never -0%
    return f"{value:+.2f}"


def with_bounds(figure: Figure | None) -> str:
    """Return a figure with its interval; a dash where there is none to report."""
    return "-" if figure is None else f"{number(figure)} {bounds(figure)}".strip()


def checks(hypothesis: HypothesisRecord) -> dict[Check, Outcome]:
    """Return each judged check's outcome, in the order of the record."""
    return {result.check: result.outcome for result in hypothesis.checks}


def selected(hypothesis: HypothesisRecord) -> tuple[FeatureRecord, ...]:
    """Return the features that some fold's search selected, largest contribution first."""
    chosen = (feature for feature in hypothesis.features if feature.folds)
    return tuple(sorted(chosen, key=lambda feature: -abs(feature.contribution.value)))


def ranked(hypothesis: HypothesisRecord) -> tuple[FeatureRecord, ...]:
    """Return every candidate, selected ones first, each group by size of contribution."""
    return tuple(
        sorted(
            hypothesis.features,
            key=lambda feature: (not feature.folds, -abs(feature.contribution.value)),
        )
    )


def excerpt(firing: Firing, *, around: int = 24) -> tuple[str, str, str]:
    """Return the text before, at and after a firing, cut to ``around`` characters a side."""
    before = firing.before if len(firing.before) <= around else f"…{firing.before[-around:]}"
    after = firing.after if len(firing.after) <= around else f"{firing.after[:around]}…"
    return before, firing.token, after


def agreement(hypothesis: HypothesisRecord) -> str | None:
    """Say how far attribution foretold the ablations, or nothing where no candidate was ablated.

    Means over folds; a fold without candidates says nothing.
    """
    folds = hypothesis.evidence.folds
    signs = [fold.sign_agreement for fold in folds if fold.sign_agreement is not None]
    ranks = [fold.rank_correlation for fold in folds if fold.rank_correlation is not None]
    if not signs:
        return None
    ranked = f", with a rank correlation of {fmean(ranks):.2f}" if ranks else ""
    gap = fmean(abs(fold.completeness_gap) for fold in folds)
    return (
        f"Attribution has the sign of the ablation for {fmean(signs):.0%} of candidates{ranked}; "
        f"its sum misses {gap:.0%} of the change that it splits up."
    )


def tally(record: AuditRecord) -> str:
    """Return how many checks came out how, in one sentence."""
    counts: dict[Outcome, int] = {}
    for hypothesis in record.hypotheses:
        for outcome in checks(hypothesis).values():
            counts[outcome] = counts.get(outcome, 0) + 1
    words = [f"{counts[outcome]} {outcome.value}" for outcome in Outcome if outcome in counts]
    return f"{hypotheses(len(record.hypotheses))}: {', '.join(words) or 'no check judged'}"


def hypotheses(count: int) -> str:
    """Return ``1 hypothesis``, ``2 hypotheses``."""
    return f"{count} hypothesis" if count == 1 else f"{count} hypotheses"


def judged_of_manifest(record: AuditRecord) -> tuple[int, int]:
    """Return how many checks of the manifest this record judged, and how many it holds."""
    judged = {
        (hypothesis.name, result.check)
        for hypothesis in record.hypotheses
        for result in hypothesis.checks
    }
    wanted = {(entry.name, check) for entry in record.manifest for check in entry.checks}
    return len(judged & wanted), len(wanted)
