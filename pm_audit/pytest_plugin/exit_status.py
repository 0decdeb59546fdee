"""Whether a run passes, by its record and never by what pytest reports.

A conftest can skip a check, expect its failure or rewrite its report; the record still holds what
the audit found.  ``stance`` is what one outcome means to the run: items raise by it, and the exit
status follows from it.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

import pytest

from pm_audit.judging import read_known_bias
from pm_audit.records import AuditRecord, Check, Departure, HypothesisRecord, Outcome
from pm_audit.report.changes import Comparison
from pm_audit.spec import GateMode, Settings


class Stance(StrEnum):
    """What a check's outcome means to the run."""

    PASSED = "passed"
    SKIPPED = "skipped"
    """Not required, by the audit's own decision and with its reason."""
    WARNED = "warned"
    """Not passed, by a hypothesis of severity ``warn``: shown, and no failure."""
    EXCUSED = "xfailed"
    """Refuted as its known bias says."""
    KNOWN = "known"
    """Not passed, as in the baseline, and the gate counts regressions alone."""
    BIAS_GONE = "xpassed"
    """Passed in spite of a known bias, which must be removed: a failure."""
    FAILED = "failed"
    """Refuted, or inconclusive and not allowed to be."""
    UNJUDGEABLE = "unjudgeable"
    """Invalid: a failure that nothing excuses."""


_PASSED_OVER = frozenset({Departure.NOT_RUN, Departure.SKIPPED, Departure.ERROR})
_FAILING = frozenset({Stance.BIAS_GONE, Stance.FAILED, Stance.UNJUDGEABLE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the command line allows."""

    inconclusive_passes: bool = False
    """An inconclusive check does not fail the run."""
    partial_passes: bool = False
    """A run that selected only a part of its manifest may pass."""
    accepts_findings: bool = False
    """The run becomes the baseline of a gate of regressions."""


def under_gate(policy: Policy, settings: Settings, *, updating: bool) -> Policy:
    """Return what the command line allows under a gate.

    A part of a run cannot be compared with a release.  A run that writes the baseline for a gate of
    regressions accepts what it finds.
    """
    return replace(
        policy,
        partial_passes=policy.partial_passes and settings.baseline is None,
        accepts_findings=updating and settings.gate is GateMode.REGRESSIONS,
    )


def stance(
    outcome: Outcome,
    *,
    warns: bool,
    excused: bool,
    inconclusive_passes: bool = False,
    known: bool = False,
) -> Stance:
    """Return what an outcome means to the run.

    Args:
        outcome: what the audit found.
        warns: the hypothesis is of severity ``warn``.
        excused: a known bias is in force for this check.
        inconclusive_passes: an inconclusive check does not fail the run, nor end an excuse.
        known: the gate counts regressions alone, and the baseline excuses the check.

    """
    if outcome is Outcome.PASS:
        return Stance.BIAS_GONE if excused else Stance.PASSED
    if outcome is Outcome.SKIPPED:
        return Stance.SKIPPED
    if outcome is Outcome.INCONCLUSIVE and inconclusive_passes and not excused:
        return Stance.PASSED
    if warns:
        return Stance.WARNED
    if excused and outcome is not Outcome.INVALID:
        return Stance.EXCUSED
    if known:
        return Stance.KNOWN
    return Stance.UNJUDGEABLE if outcome is Outcome.INVALID else Stance.FAILED


def excused(hypothesis: HypothesisRecord, check: Check, *, today: datetime.date) -> bool:
    """Whether a known bias is in force for a check of a judged hypothesis."""
    bias = read_known_bias(hypothesis)
    if bias is None or not bias.covers(check) or hypothesis.severity == "warn":
        return False
    return not bias.expired(today)


def stances(
    record: AuditRecord,
    policy: Policy,
    *,
    today: datetime.date,
    known: frozenset[tuple[str, Check]] = frozenset(),
) -> Iterator[tuple[HypothesisRecord, Check, Stance]]:
    """Yield what each judged check of a record means to the run."""
    for hypothesis in record.hypotheses:
        for result in hypothesis.checks:
            yield (
                hypothesis,
                result.check,
                stance(
                    result.outcome,
                    warns=hypothesis.severity == "warn",
                    excused=excused(hypothesis, result.check, today=today),
                    inconclusive_passes=policy.inconclusive_passes,
                    known=policy.accepts_findings or (hypothesis.name, result.check) in known,
                ),
            )


def reasons_to_fail(
    record: AuditRecord | None,
    comparison: Comparison | None,
    policy: Policy,
    *,
    today: datetime.date,
) -> tuple[str, ...]:
    """Return why a run does not pass, one sentence each; nothing if it passes.

    Args:
        record: of the run; None if no check was judged.
        comparison: with the baseline, if there is one.
        policy: what the command line allows.
        today: decides which known biases have expired.

    """
    if record is None:
        return ("no check was judged",)
    reasons = []
    if not record.complete and not policy.partial_passes:
        reasons.append("not every check of the manifest was judged")
    known = frozenset() if comparison is None else comparison.known
    passed_over = [
        f"{one.name}/{one.check}" for one in record.not_as_planned if one.departure in _PASSED_OVER
    ]
    if passed_over:
        reasons.append(f"selected and not judged: {', '.join(passed_over)}")
    failed = [
        f"{hypothesis.name}/{check}"
        for hypothesis, check, found in stances(record, policy, today=today, known=known)
        if found in _FAILING
    ]
    if failed:
        reasons.append(f"not passed: {', '.join(failed)}")
    if comparison is not None and comparison.regressed:
        reasons.append("worse than the baseline")
    return tuple(reasons)


def exit_status(reported: int, reasons: tuple[str, ...]) -> int:
    """Return the run's exit status: pytest's own if that is a failure, else the record's."""
    if reasons and reported in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        return pytest.ExitCode.TESTS_FAILED
    return reported
