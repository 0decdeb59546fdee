"""What GitHub shows: annotations on the YAML line of each check that was not passed.

GitHub shows ten errors and ten warnings of a step, so regressions come first and a last line says
how many were left out.  The commands are the project's own; every text inside goes through
``github_message`` or ``github_property``, which leave nothing that the runner could read as a
second command.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pm_audit.judging import rule_of
from pm_audit.records import NOT_PASSED, AuditRecord, CheckResult, HypothesisRecord
from pm_audit.report import figures, findings, scope
from pm_audit.report.changes import ChangeKind, Comparison
from pm_audit.report.sanitise import github_message, github_property

SHOWN = 10
"""Errors, and warnings, of one step that GitHub shows."""

_OF_CHECKS = (ChangeKind.CHECK_WORSE, ChangeKind.CHECK_NOT_PASSED)


def commands(record: AuditRecord, comparison: Comparison | None = None) -> list[str]:
    """Return workflow commands: regressions, then checks that were not passed, then a summary.

    ``comparison`` is that with the baseline, if there is one.
    """
    changes = () if comparison is None else comparison.changes
    regressions = [change for change in changes if change.regression]
    errors = [
        _command("error", one.file, one.line, f"{one.hypothesis}: {one.kind}", one.message)
        for one in regressions
    ]
    warnings = []
    said = {(one.hypothesis, one.check) for one in regressions if one.kind in _OF_CHECKS}
    known = frozenset() if comparison is None else comparison.known
    for hypothesis in record.hypotheses:
        mild = findings.accepted(hypothesis)
        for result in hypothesis.checks:
            key = (hypothesis.name, result.check)
            if result.outcome not in NOT_PASSED or key in said:
                continue
            if result.check in mild or key in known or hypothesis.severity == "warn":
                warnings.append(_of_check("warning", hypothesis, result))
            else:
                errors.append(_of_check("error", hypothesis, result))
    return [*_at_most("error", errors), *_at_most("warning", warnings)]


def _at_most(level: str, of_level: Sequence[str]) -> Iterator[str]:
    yield from of_level[:SHOWN]
    left = len(of_level) - SHOWN
    if left > 0:
        noun = f"{level} is" if left == 1 else f"{level}s are"
        yield (
            f"::notice title=pm_audit::{left} more {noun} not annotated: GitHub shows "
            f"{SHOWN} a step; the job's summary holds all"
        )


def _of_check(level: str, hypothesis: HypothesisRecord, result: CheckResult) -> str:
    line = hypothesis.line_of(rule_of(result.check).line_key)
    title = f"{hypothesis.name}/{result.check}: {result.outcome}"
    measured = [f"gap {figures.with_bounds(hypothesis.gap_sigma)}", scope.line(hypothesis)]
    text = "\n".join([result.reason, *filter(None, measured)])
    return _command(level, hypothesis.file, line, title, text)


def _command(level: str, file: str, line: int, title: str, text: str) -> str:
    """Return the workflow command, without a place if the file is not known."""
    place = f"file={github_property(file)},line={line}," if file else ""
    return f"::{level} {place}title={github_property(title)}::{github_message(text)}"
