"""What changed between two audits, in words: for the terminal, Markdown and GitHub."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pm_audit.judging import rule_of
from pm_audit.records import Check, HypothesisRecord, Record
from pm_audit.report import wording
from pm_audit.report.markdown_writer import Code, MarkdownWriter
from pm_audit.report.sanitise import terminal

THE_RUN = "the run"
"""Stands for a hypothesis in a change that concerns all of them."""


class ChangeKind(StrEnum):
    """What changed."""

    GAP_GROWN = "gap grown"
    CLOSURE_LOST = "closure lost"
    TRANSFER_LOST = "transfer lost"
    SUFFICIENCY_LOST = "sufficiency lost"
    COLLATERAL_GROWN = "collateral grown"
    FIT_WORSE = "fit worse"
    FEATURE_BECAME_CAUSAL = "feature became causal"
    HYPOTHESIS_GONE = "hypothesis gone"
    NO_BASELINE = "no baseline"
    CHECK_WORSE = "check worse"
    CHECK_NOT_PASSED = "check not passed"
    """Not passed here, and nothing in the baseline excuses it."""
    POLICY_LOOSENED = "policy loosened"
    METHOD_WEAKENED = "method weakened"
    GAP_SHRUNK = "gap shrunk"
    CLOSURE_GAINED = "closure gained"
    TRANSFER_GAINED = "transfer gained"
    SUFFICIENCY_GAINED = "sufficiency gained"
    STABILITY_LOST = "stability lost"
    """Searches on different prompts agree less; what they found is tested apart from that."""
    STABILITY_GAINED = "stability gained"
    FEATURE_NO_LONGER_CAUSAL = "feature no longer causal"
    CHECK_BETTER = "check better"
    KNOWN_FROM_BASELINE = "known from the baseline"
    """A check that is not passed, as it was not in the baseline."""
    KNOWN_BIAS_ADDED = "known bias added"
    METHOD_CHANGED = "method changed"
    NOT_COMPARABLE = "not comparable"
    """What could not be compared with the baseline."""


REGRESSIONS = frozenset(ChangeKind) - {
    ChangeKind.GAP_SHRUNK,
    ChangeKind.CLOSURE_GAINED,
    ChangeKind.TRANSFER_GAINED,
    ChangeKind.SUFFICIENCY_GAINED,
    ChangeKind.STABILITY_LOST,
    ChangeKind.STABILITY_GAINED,
    ChangeKind.FEATURE_NO_LONGER_CAUSAL,
    ChangeKind.CHECK_BETTER,
    ChangeKind.KNOWN_FROM_BASELINE,
    ChangeKind.KNOWN_BIAS_ADDED,
    ChangeKind.METHOD_CHANGED,
    ChangeKind.NOT_COMPARABLE,
}
"""Changes that can fail a gate."""


class Change(Record):
    """One change of one hypothesis, or of the run."""

    kind: ChangeKind
    hypothesis: str
    file: str
    """The file of the hypothesis; empty for a change of the run."""
    line: int
    """Of the key that the change is about."""
    message: str
    severity: str = "error"
    """``warn`` or ``note``: shown, but it does not fail the gate."""
    check: Check | None = None
    """The check that the change is about, if it is about one."""

    @classmethod
    def of(
        cls,
        hypothesis: HypothesisRecord,
        kind: ChangeKind,
        message: str,
        *,
        check: Check | None = None,
        key: str | None = None,
        severity: str | None = None,
    ) -> Self:
        """Return a change of a hypothesis, on the line of ``key`` or else of its check's key."""
        about = key or ("name" if check is None else rule_of(check).line_key)
        return cls(
            kind=kind,
            hypothesis=hypothesis.name,
            file=hypothesis.file,
            line=hypothesis.line_of(about),
            message=message,
            severity=severity or hypothesis.severity,
            check=check,
        )

    @property
    def regression(self) -> bool:
        """Return whether this change fails the gate."""
        return self.kind in REGRESSIONS and self.severity == "error"

    @property
    def place(self) -> str:
        """Return ``file:line``, or nothing for a change of the run."""
        return f"{self.file}:{self.line}" if self.file else ""


class Comparison(Record):
    """Every change from one record to another."""

    old: str
    """Name, short hash and date of the baseline's PM."""
    new: str
    changes: tuple[Change, ...]
    compared: int
    """Hypotheses that both records hold."""

    def __str__(self) -> str:
        """Return what ``pm-audit compare`` prints."""
        return "\n".join(terminal_lines(self))

    @property
    def regressed(self) -> bool:
        """Return whether the gate fails."""
        return any(change.regression for change in self.changes)

    @property
    def known(self) -> frozenset[tuple[str, Check]]:
        """Return the checks that are not passed, as they were not in the baseline."""
        return frozenset(
            (change.hypothesis, change.check)
            for change in self.changes
            if change.kind is ChangeKind.KNOWN_FROM_BASELINE and change.check is not None
        )


def verdict(comparison: Comparison) -> str:
    """Return the gate's one-sentence answer."""
    count = sum(change.regression for change in comparison.changes)
    if count:
        return f"REGRESSED: {count} regression{'s' if count > 1 else ''} against the baseline"
    answer = f"no regression in {wording.hypotheses(comparison.compared)} against the baseline"
    known = len(comparison.known)
    if known:
        answer += f"; {known} check{'s are' if known > 1 else ' is'} not passed, as before"
    return answer


def terminal_lines(comparison: Comparison) -> list[str]:
    """Return the comparison line by line, regressions first."""
    lines = [
        terminal(f"baseline {comparison.old}"),
        terminal(f"this run {comparison.new}"),
        verdict(comparison),
    ]
    for change in ordered(comparison):
        mark = "!" if change.regression else " "
        lines.append(terminal(f"{mark} {change.hypothesis}: {change.kind}: {change.message}"))
    return lines


def markdown_page(comparison: Comparison) -> str:
    """Return the comparison as a Markdown page."""
    page = MarkdownWriter()
    page.heading(1, "Comparison of two audits")
    page.paragraph("From {} to {}.", Code(comparison.old), Code(comparison.new))
    page.paragraph("**{}**", verdict(comparison))
    if comparison.changes:
        page.table(
            ["", "hypothesis", "change", "what"],
            [
                ["regression" if one.regression else "note", one.hypothesis, one.kind, one.message]
                for one in ordered(comparison)
            ],
        )
    return page.text()


def ordered(comparison: Comparison) -> list[Change]:
    """Return the changes, regressions first."""
    return sorted(comparison.changes, key=lambda change: not change.regression)
