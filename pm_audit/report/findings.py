"""What the PM does and why, one sentence each: the first thing that every report says.

A sentence gives the size of an effect, and its verb the sign; an interval that holds zero has no
verb.  Nothing here is made safe for a sink: each report's writer does that.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pm_audit.errors import RecordError
from pm_audit.judging import accepted_by_bias
from pm_audit.records import (
    AuditRecord,
    Check,
    Evidence,
    FeatureRecord,
    HypothesisRecord,
    Outcome,
    PairsEvidence,
)
from pm_audit.report import feature_words, figures, scope
from pm_audit.spec import today

_FEATURES_SHOWN = 3
_NAMES_SHOWN = 3
_UNFIT = frozenset({Outcome.FAIL, Outcome.INVALID})


class Standing(StrEnum):
    """How the finding compares with the expectation; the value is what a reader sees."""

    AS_EXPECTED = "as expected"
    CONTRARY = "not as expected"
    UNDECIDED = "undecided"
    NOT_JUDGED = "not judged"


_STANDINGS = {
    Outcome.PASS: Standing.AS_EXPECTED,
    Outcome.FAIL: Standing.CONTRARY,
    Outcome.INCONCLUSIVE: Standing.UNDECIDED,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One hypothesis: what was found, what was expected, and which features carry it."""

    verb: str
    """``raises``, ``lowers``, or nothing if the sign is open."""
    found: str
    """What follows "the PM"."""
    expected: str
    standing: Standing
    explained: str
    """How much of the gap features explain, up to their names; empty if nothing was found."""
    features: tuple[FeatureRecord, ...]
    """The first of these features, by size of contribution."""
    more_features: int
    holds: str
    """How far the explanation holds, without a full stop; empty if nothing of it was measured."""
    caveat: str
    """Why the explanation is unreliable; empty if it is not."""

    @property
    def sentence(self) -> str:
        """Return what was found next to what was expected."""
        return f"The PM {self.found}; expected: {self.expected}."

    @property
    def explanation(self) -> str:
        """Return what carries it and how far that holds; empty if nothing was searched for."""
        shown = "; ".join(map(feature_words.name, self.features))
        more = f" and {self.more_features} more" if self.more_features else ""
        names = f": {shown}{more}" if shown else ""
        caveat = f" ({self.caveat})" if self.caveat else ""
        holds = f" {self.holds}." if self.holds else ""
        return f"{self.explained}{names}{caveat}.{holds}" if self.explained else ""


def finding(hypothesis: HypothesisRecord) -> Finding:
    """Return the finding of one hypothesis."""
    verb = direction(hypothesis)
    chosen = selected(hypothesis)
    return Finding(
        verb=verb,
        found=_found(hypothesis, verb),
        expected=expected(hypothesis),
        standing=standing(hypothesis),
        explained=_explained(hypothesis, len(chosen)),
        features=chosen[:_FEATURES_SHOWN],
        more_features=max(len(chosen) - _FEATURES_SHOWN, 0),
        holds=scope.sentence(hypothesis) if chosen else "",
        caveat=_caveat(hypothesis) if chosen and hypothesis.closure else "",
    )


def by_size(record: AuditRecord) -> tuple[HypothesisRecord, ...]:
    """Return the hypotheses, largest gap first."""
    return tuple(sorted(record.hypotheses, key=lambda one: -abs(one.gap_sigma.value)))


def selected(hypothesis: HypothesisRecord) -> tuple[FeatureRecord, ...]:
    """Return the features that some fold's search selected, largest contribution first."""
    chosen = (feature for feature in hypothesis.features if feature.folds)
    return tuple(sorted(chosen, key=lambda feature: -abs(feature.contribution.value)))


def direction(hypothesis: HypothesisRecord) -> str:
    """Return ``raises`` or ``lowers`` if the interval excludes zero, else nothing."""
    gap = hypothesis.gap_sigma
    if gap.low is not None and gap.low > 0:
        return "raises"
    return "lowers" if gap.high is not None and gap.high < 0 else ""


def expected(hypothesis: HypothesisRecord) -> str:
    """Return ``raises``, ``lowers`` or ``no gap``, as the policy says."""
    gap = str(hypothesis.expect.get("gap") or hypothesis.effect)
    return "no gap" if gap == "none" else gap


def margin(hypothesis: HypothesisRecord) -> float | None:
    """Return the largest gap in sigma that counts as none, if the record says it."""
    found = hypothesis.expect.get("margin")
    return float(found) if isinstance(found, int | float) and found > 0 else None


def standing(hypothesis: HypothesisRecord) -> Standing:
    """Return how the gap compares with the expectation."""
    return _STANDINGS.get(hypothesis.outcomes.get(Check.GAP, Outcome.INVALID), Standing.NOT_JUDGED)


def accepted(hypothesis: HypothesisRecord) -> frozenset[Check]:
    """Return the checks whose failure a known bias accepts today; one that is torn accepts none."""
    try:
        return accepted_by_bias(hypothesis, on=today())
    except RecordError:
        return frozenset()


def lead(record: AuditRecord) -> tuple[str, ...]:
    """Return the whole run in two or three sentences."""
    names: dict[str, list[str]] = {"raises": [], "lowers": []}
    for hypothesis in by_size(record):
        verb = direction(hypothesis)
        if verb and not _counts_as_none(hypothesis):
            names[verb].append(f"{hypothesis.name} ({figures.value(hypothesis.gap_sigma)})")
    said = [
        f"{verb} the reward most for {', '.join(found[:_NAMES_SHOWN])}"
        for verb, found in names.items()
        if found
    ]
    if not record.hypotheses:
        return ()
    counts = [
        f"{count} {one.value}"
        for one in Standing
        if (count := sum(standing(h) is one for h in record.hypotheses))
    ]
    total = len(record.hypotheses)
    first = (f"In sigma, the PM {'; it '.join(said)}.",) if said else ()
    return (*first, f"Of {total} claim{'s' if total > 1 else ''}: {', '.join(counts)}.")


def prompts(hypothesis: HypothesisRecord) -> str:
    """Return ``16 of 30 prompts``, or ``16 prompts`` if all or an unknown number was tried.

    Of a preference set: ``200 of 1,204 pairs on 187 prompts; 36 skipped (30 duplicate, ...)``.
    """
    pairs = hypothesis.evidence.pairs
    if pairs is not None:
        return _of_pairs(pairs, hypothesis.evidence)
    tried, held = len(hypothesis.evidence.prompts), hypothesis.probe_prompts
    noun = "prompt" if tried == 1 else "prompts"
    return f"{tried} of {held} prompts" if held is not None and held > tried else f"{tried} {noun}"


def tried(record: AuditRecord) -> tuple[str, ...]:
    """Return how many prompts were tried, each answer once; preference sets left out."""
    of_templates = (one for one in record.hypotheses if one.evidence.pairs is None)
    return tuple(dict.fromkeys(map(prompts, of_templates)))


def tried_pairs(record: AuditRecord) -> tuple[str, ...]:
    """Return how many pairs of each preference set were tried, after the hypothesis' name."""
    of_pairs = (one for one in record.hypotheses if one.evidence.pairs is not None)
    return tuple(dict.fromkeys(f"{one.short_name}: {prompts(one)}" for one in of_pairs))


def _of_pairs(pairs: PairsEvidence, evidence: Evidence) -> str:
    prompts = evidence.tried
    used = (
        f"{pairs.used:,}"
        if pairs.used == pairs.available
        else (f"{pairs.used:,} of {pairs.available:,}")
    )
    said = f"{used} pair{'s' if pairs.available > 1 else ''}"
    if prompts != pairs.used:
        said += f" on {prompts:,} prompt{'s' if prompts > 1 else ''}"
    if evidence.further:
        said += f", {len(evidence.prompts):,} of them with a search for features"
    if not pairs.skipped:
        return said
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in pairs.skipped.items())
    return f"{said}; {sum(pairs.skipped.values()):,} skipped ({reasons})"


def sigmas(record: AuditRecord) -> tuple[str, ...]:
    """Return what one sigma is in raw reward, once for each of the PM's rewards."""
    found: dict[tuple[str | None, float], str] = {}
    for hypothesis in record.hypotheses:
        sigma, objective = hypothesis.evidence.sigma, hypothesis.objective
        of = "" if objective is None else f" of {objective}"
        found.setdefault((objective, sigma), f"1 sigma{of} = {figures.unsigned(sigma)} raw reward")
    return tuple(found.values())


def _found(hypothesis: HypothesisRecord, verb: str) -> str:
    gap = hypothesis.gap_sigma
    if verb:
        none = ", which counts as none" if _counts_as_none(hypothesis) else ""
        return f"{verb} the reward by {figures.size(gap)}{none}"
    if _counts_as_none(hypothesis):
        most = f"{margin(hypothesis) or 0.0:g}"
        return f"moves the reward by less than {most} sigma: {figures.with_bounds(gap)}"
    return f"may raise or lower the reward: {figures.with_bounds(gap)}"


def _counts_as_none(hypothesis: HypothesisRecord) -> bool:
    gap, most = hypothesis.gap_sigma, margin(hypothesis)
    ends = (gap.low, gap.high)
    return most is not None and all(end is not None and abs(end) < most for end in ends)


def _explained(hypothesis: HypothesisRecord, count: int) -> str:
    if hypothesis.closure is None:
        return ""
    if not count:
        return "No feature was selected, so all of the gap is unexplained"
    features = f"{count} feature{'s' if count > 1 else ''}"
    verb = "explain" if count > 1 else "explains"
    closed = f"{features} {verb} {figures.with_bounds(hypothesis.closure)} of the gap"
    residual = hypothesis.residual_sigma
    left = figures.number(residual).lstrip("+-")
    same_side = residual.value * hypothesis.gap_sigma.value >= 0
    return f"{closed}; {left} remains" if same_side else f"{closed}, {left} too much"


def _caveat(hypothesis: HypothesisRecord) -> str:
    outcomes = hypothesis.outcomes
    if outcomes.get(Check.FIT) in _UNFIT:
        return "the SAE does not fit these texts, so treat this as a lead only"
    closed, null = hypothesis.closure, hypothesis.null_closure
    if closed and null and null.high is not None and closed.value <= null.high:
        return f"no better than random sets of features, which reach {figures.percent(null.high)}"
    if outcomes.get(Check.SPECIFIC) is Outcome.FAIL:
        return "replacing them moves other completions as well"
    return ""
