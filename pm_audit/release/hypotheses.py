"""Every change from the baseline to this run, hypothesis by hypothesis."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from pm_audit.judging import accepted_by_bias
from pm_audit.records import NOT_PASSED, AuditRecord, Check, HypothesisRecord, Outcome
from pm_audit.release.believed import require_whole
from pm_audit.release.features import feature_changes
from pm_audit.release.figures import figure_changes
from pm_audit.release.known import objection
from pm_audit.release.method import method_changes
from pm_audit.release.policy import newly_accepted, policy_changes, tickets_of
from pm_audit.release.tolerance import Tolerance
from pm_audit.report.changes import THE_RUN, Change, ChangeKind, Comparison
from pm_audit.spec import GateMode, today


def compare(
    old: AuditRecord,
    new: AuditRecord,
    *,
    tolerance: Tolerance | None = None,
    gate: GateMode = GateMode.ABSOLUTE,
    inconclusive_passes: bool = False,
) -> Comparison:
    """Return every change from the baseline ``old`` to ``new``.

    Args:
        old: the baseline.
        new: this run.
        tolerance: how large a change must be to count.
        gate: under ``regressions`` each check of ``new`` that is not passed is either known from
            the baseline or a regression, and a hypothesis without a baseline must meet its
            expectations; under ``absolute`` a hypothesis without a baseline is a regression.
        inconclusive_passes: do not count an inconclusive check without a baseline as a regression.

    Raises:
        RecordError: one of the records is partial, so that what is missing proves nothing.

    """
    limits = tolerance or Tolerance()
    for record, role in ((old, "the baseline"), (new, "the new record")):
        require_whole(record, role)
    before = {hypothesis.name: hypothesis for hypothesis in old.hypotheses}
    after = {hypothesis.name: hypothesis for hypothesis in new.hypotheses}
    tickets = tickets_of(old)
    changes: list[Change] = list(method_changes(old, new))
    changes += [_gone(before[name]) for name in before.keys() - after.keys()]
    same_saes = {s.name: s.sha256 for s in old.subject.saes} == {
        s.name: s.sha256 for s in new.subject.saes
    }
    for name, now in after.items():
        was = before.get(name)
        if was is None:
            found = [_new(now, gate)]
        else:
            found = [
                *policy_changes(was, now, tickets=tickets),
                *figure_changes(was, now, limits),
                *_checks(was, now),
                *feature_changes(was, now, limits, same_saes=same_saes),
            ]
            accepted = newly_accepted(now, tickets=tickets) & accepted_by_bias(now, on=today())
            found = [_noted(change, accepted) for change in found]
        if gate is GateMode.REGRESSIONS:
            found += _not_passed(was, now, inconclusive_passes=inconclusive_passes)
        changes += found
    order = {name: rank for rank, name in enumerate((THE_RUN, *after, *before))}
    return Comparison(
        old=_title(old),
        new=_title(new),
        changes=tuple(sorted(changes, key=lambda change: order[change.hypothesis])),
        compared=len(before.keys() & after.keys()),
    )


def _title(record: AuditRecord) -> str:
    return f"{record.subject.pm} ({record.subject.pm_sha256[:12]}) of {record.created}"


def _gone(hypothesis: HypothesisRecord) -> Change:
    message = "the baseline holds it, this run does not; restore it or update the baseline"
    return Change.of(hypothesis, ChangeKind.HYPOTHESIS_GONE, message, severity="error")


def _new(hypothesis: HypothesisRecord, gate: GateMode) -> Change:
    if gate is GateMode.REGRESSIONS:
        message = "the baseline does not hold it, so it must meet its expectations"
        return Change.of(hypothesis, ChangeKind.NO_BASELINE, message, severity="note")
    message = "the baseline does not hold it; accept it with --pm-audit-update-baseline"
    return Change.of(hypothesis, ChangeKind.NO_BASELINE, message)


def _noted(change: Change, accepted: Collection[Check | None]) -> Change:
    """Turn a regression into a note if a new known bias accepts the check's failure."""
    if change.check not in accepted or not change.regression:
        return change
    message = f"{change.message} (accepted by the known bias that is new)"
    return change.model_copy(update={"severity": "note", "message": message})


def _checks(old: HypothesisRecord, new: HypothesisRecord) -> Iterator[Change]:
    before = old.outcomes
    for result in new.checks:
        was = before.get(result.check)
        if was is None:
            continue
        words = f"{result.check}: {was} to {result.outcome}: {result.reason}"
        if result.outcome.worse_than(was):
            yield Change.of(new, ChangeKind.CHECK_WORSE, words, check=result.check)
        elif was.worse_than(result.outcome):
            yield Change.of(new, ChangeKind.CHECK_BETTER, words, check=result.check)


def _not_passed(
    old: HypothesisRecord | None, new: HypothesisRecord, *, inconclusive_passes: bool
) -> Iterator[Change]:
    """Yield each check that is not passed: known from the baseline, or a regression."""
    accepted = accepted_by_bias(new, on=today())
    before = old.outcomes if old else {}
    for result in new.checks:
        was = before.get(result.check)
        worse = was is not None and result.outcome.worse_than(was)
        if result.outcome not in NOT_PASSED or result.check in accepted or worse:
            continue
        if inconclusive_passes and result.outcome is Outcome.INCONCLUSIVE:
            continue
        words = f"{result.check}: {result.outcome}: {result.reason}"
        why = "" if old is None else objection(old, new, result.check)
        if why is None:
            kind = ChangeKind.KNOWN_FROM_BASELINE
            yield Change.of(new, kind, words, check=result.check, severity="note")
        else:
            because = f" ({why}, which excuses nothing)" if why else ""
            yield Change.of(new, ChangeKind.CHECK_NOT_PASSED, words + because, check=result.check)
