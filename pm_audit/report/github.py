"""What GitHub shows: annotations on the YAML line of each check that was not passed.

GitHub shows ten errors and ten warnings of a step, so regressions come first and a last line says
how many were left out.  The commands are the project's own; every text inside goes through
``github_message`` or ``github_property``, which leave nothing that the runner could read as a
second command.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pm_audit.judging import rule_of
from pm_audit.records import AuditRecord, CheckResult, HypothesisRecord, Outcome
from pm_audit.report import figures, findings
from pm_audit.report.changes import Change, ChangeKind, Comparison
from pm_audit.report.sanitise import github_message, github_property

SHOWN = 10
"""Errors, and warnings, of one step that GitHub shows."""

_NOT_PASSED = (Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.INVALID)
_OF_CHECKS = (ChangeKind.CHECK_WORSE, ChangeKind.CHECK_NOT_PASSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Annotation:
    level: str
    file: str
    line: int
    title: str
    text: str

    def command(self) -> str:
        """Return the workflow command, without a place where the file is not known."""
        place = f"file={github_property(self.file)},line={self.line}," if self.file else ""
        title = github_property(self.title)
        return f"::{self.level} {place}title={title}::{github_message(self.text)}"


def commands(record: AuditRecord, comparison: Comparison | None = None) -> list[str]:
    """Return workflow commands: regressions, then checks that were not passed, then a summary.

    Args:
        record: the run's own.
        comparison: the run held against the baseline, where there is one.

    """
    changes = () if comparison is None else comparison.changes
    regressions = [change for change in changes if change.regression]
    annotations = [_of_change(change) for change in regressions]
    said = {(one.hypothesis, one.check) for one in regressions if one.kind in _OF_CHECKS}
    known = frozenset() if comparison is None else comparison.known
    for hypothesis in record.hypotheses:
        mild = findings.accepted(hypothesis)
        mild |= {check for name, check in known if name == hypothesis.name}
        annotations += [
            _of_check(hypothesis, result, mild=result.check in mild)
            for result in hypothesis.checks
            if result.outcome in _NOT_PASSED and (hypothesis.name, result.check) not in said
        ]
    return list(_at_most(annotations))


def _at_most(annotations: Sequence[_Annotation]) -> Iterator[str]:
    for level in ("error", "warning"):
        of_level = [one for one in annotations if one.level == level]
        yield from (one.command() for one in of_level[:SHOWN])
        left = len(of_level) - SHOWN
        if left > 0:
            noun = f"{level} is" if left == 1 else f"{level}s are"
            yield (
                f"::notice title=pm_audit::{left} more {noun} not annotated, for GitHub shows "
                f"{SHOWN} a step; the job's summary holds all"
            )


def _of_change(change: Change) -> _Annotation:
    return _Annotation(
        level="error",
        file=change.file,
        line=change.line,
        title=f"{change.hypothesis}: {change.kind}",
        text=change.message,
    )


def _of_check(hypothesis: HypothesisRecord, result: CheckResult, *, mild: bool) -> _Annotation:
    return _Annotation(
        level="warning" if mild or hypothesis.severity == "warn" else "error",
        file=hypothesis.file,
        line=hypothesis.line_of(rule_of(result.check).line_key),
        title=f"{hypothesis.name}/{result.check}: {result.outcome}",
        text=f"{result.reason}\ngap {figures.with_bounds(hypothesis.gap_sigma)}",
    )
