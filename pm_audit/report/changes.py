"""What changed between two audits, in words: for the terminal, Markdown and GitHub."""

from __future__ import annotations

from enum import StrEnum

from pm_audit.records import Record
from pm_audit.report import wording
from pm_audit.report.sanitise import (
    github_message,
    github_property,
    markdown,
    markdown_code,
    terminal,
)


class ChangeKind(StrEnum):
    """What changed; the first seven are regressions."""

    GAP_GROWN = "gap grown"
    CLOSURE_LOST = "closure lost"
    FEATURE_BECAME_CAUSAL = "feature became causal"
    HYPOTHESIS_GONE = "hypothesis gone"
    NO_BASELINE = "no baseline"
    CHECK_WORSE = "check worse"
    POLICY_LOOSENED = "policy loosened"
    GAP_SHRUNK = "gap shrunk"
    CLOSURE_GAINED = "closure gained"
    FEATURE_NO_LONGER_CAUSAL = "feature no longer causal"
    CHECK_BETTER = "check better"
    NOT_COMPARABLE = "not comparable"
    """Said, never silent: what could not be held against the baseline."""


REGRESSIONS = frozenset(
    {
        ChangeKind.GAP_GROWN,
        ChangeKind.CLOSURE_LOST,
        ChangeKind.FEATURE_BECAME_CAUSAL,
        ChangeKind.HYPOTHESIS_GONE,
        ChangeKind.NO_BASELINE,
        ChangeKind.CHECK_WORSE,
        ChangeKind.POLICY_LOOSENED,
    }
)


class Change(Record):
    """One change of one hypothesis."""

    kind: ChangeKind
    hypothesis: str
    file: str
    line: int
    message: str
    severity: str = "error"
    """``warn``: shown, but it does not fail the gate."""

    @property
    def regression(self) -> bool:
        """Say whether this change fails the gate."""
        return self.kind in REGRESSIONS and self.severity != "warn"


class Comparison(Record):
    """Every change from one record to another."""

    old: str
    """Name, short hash and date of the baseline's PM."""
    new: str
    changes: tuple[Change, ...]
    compared: int
    """Hypotheses that both records hold."""

    @property
    def regressed(self) -> bool:
        """Say whether the gate fails."""
        return any(change.regression for change in self.changes)


def verdict(comparison: Comparison) -> str:
    """Return the gate's one-sentence answer."""
    count = sum(change.regression for change in comparison.changes)
    if count:
        return f"REGRESSED: {count} regression{'s' if count > 1 else ''} against the baseline"
    return f"no regression in {wording.hypotheses(comparison.compared)} against the baseline"


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
    lines = [
        "# Comparison of two audits",
        "",
        f"From {markdown_code(comparison.old)} to {markdown_code(comparison.new)}.",
        "",
        f"**{markdown(verdict(comparison))}**",
    ]
    if comparison.changes:
        lines += ["", "| | hypothesis | change | what |", "| --- | --- | --- | --- |"]
        lines += [
            f"| {'regression' if change.regression else 'note'} | {markdown(change.hypothesis)} "
            f"| {change.kind} | {markdown(change.message)} |"
            for change in ordered(comparison)
        ]
    return "\n".join(lines) + "\n"


def github_annotations(comparison: Comparison) -> list[str]:
    """Return one workflow command a regression, on the hypothesis' line."""
    return [
        f"::error file={github_property(change.file)},line={change.line},"
        f"title={github_property(f'{change.hypothesis}: {change.kind}')}"
        f"::{github_message(change.message)}"
        for change in comparison.changes
        if change.regression
    ]


def ordered(comparison: Comparison) -> list[Change]:
    """Return the changes, regressions first."""
    return sorted(comparison.changes, key=lambda change: not change.regression)
