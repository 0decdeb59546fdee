"""What GitHub shows: annotations on the YAML line of each check that was not passed.

The commands are the project's own; every text inside goes through ``github_message`` or
``github_property``, which leave nothing that the runner could read as a second command.
"""

from __future__ import annotations

from pm_audit.records import AuditRecord, HypothesisRecord, Outcome
from pm_audit.report import wording
from pm_audit.report.sanitise import github_message, github_property

_SHOWN = (Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.INVALID)


def audit_annotations(record: AuditRecord) -> list[str]:
    """Return one workflow command a check that was refuted, inconclusive or invalid."""
    return [
        _annotation(
            hypothesis, f"{hypothesis.name}/{result.check}: {result.outcome}", result.reason
        )
        for hypothesis in record.hypotheses
        for result in hypothesis.checks
        if result.outcome in _SHOWN
    ]


def _annotation(hypothesis: HypothesisRecord, title: str, reason: str) -> str:
    level = "warning" if hypothesis.severity == "warn" or hypothesis.known_bias else "error"
    text = f"{reason}\ngap {wording.with_bounds(hypothesis.gap_sigma)}"
    return (
        f"::{level} file={github_property(hypothesis.file)},line={hypothesis.line},"
        f"title={github_property(title)}::{github_message(text)}"
    )
