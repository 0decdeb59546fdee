"""A repair's record as text: for a terminal, and as Markdown for a pull request or a model card.

Changes of accuracy are in points: a hundredth of all pairs.
"""

from __future__ import annotations

from collections.abc import Sequence

from pm_audit.records import Figure
from pm_audit.records.repair import (
    JudgedRepair,
    Miscalibration,
    PairsRead,
    RepairCandidate,
    RepairRecord,
    SubsetChange,
)
from pm_audit.report.figures import percent, signed
from pm_audit.report.markdown_writer import MarkdownWriter, Number
from pm_audit.report.terminal_writer import TerminalWriter

SHOWN = 10
"""Candidates that are listed, best first; the record holds all."""

_SUBSETS = ("subset", "pairs", "prompts", "before", "after", "change (points)")
_LEAN = ("contrast", "pairs", "PM", "labellers", "PM too far by (points)")


def points(figure: Figure) -> str:
    """Return a change of a share in points with its interval: ``+1.2 [-0.3, +2.7]``."""
    ends = [
        signed(100 * one, 1) if one is not None else "unbounded"
        for one in (figure.low, figure.high)
    ]
    return f"{signed(100 * figure.value, 1)} [{ends[0]}, {ends[1]}]"


def conclusion(record: RepairRecord) -> str:
    """Return what was found, in one or two sentences."""
    if not record.judged:
        return (
            f"No verified set helps: none of the {len(record.candidates)} repairs gains on the "
            "pairs to choose by without losing more than tolerated."
        )
    helping = [one for one in record.judged if one.helps]
    if not helping:
        return (
            f"No verified set helps: of {len(record.candidates)} repairs, those that gained most "
            "on the pairs to choose by do not gain on other prompts with an interval above zero "
            "and a small enough loss elsewhere."
        )
    named = "; ".join(f"{one.candidate}, for {one.target}" for one in helping)
    return f"On prompts that took no part in the choice, these help: {named}."


def terminal(record: RepairRecord) -> str:
    """Return the summary that the command prints."""
    page = TerminalWriter()
    page.wrapped(f"Repairs of {record.subject.pm}. {conclusion(record)}")
    page.wrapped(f"Chosen on {pairs_line(record.chosen_on)}.")
    page.wrapped(f"Judged on {pairs_line(record.judged_on)}.")
    page.line()
    page.line(f"On the pairs to choose by, the best {min(SHOWN, len(record.candidates))} repairs:")
    page.table(header(record), [row(one, record) for one in record.candidates[:SHOWN]])
    for one in record.judged:
        page.line()
        page.wrapped(f"{one.target}: {one.candidate}, on other prompts. {verdict(one)}")
        page.table(_SUBSETS, [_subset(change) for change in one.subsets])
    if record.miscalibration:
        page.line()
        page.wrapped(
            "Share of the pairs of which one side shows it in which that side is preferred:"
        )
        page.table(_LEAN, [_lean(one) for one in record.miscalibration])
    for note in record.notes:
        page.wrapped(f"note: {note}")
    return page.text()


def markdown(record: RepairRecord) -> str:
    """Return the record as a Markdown page."""
    page = MarkdownWriter()
    page.heading(1, f"Repairs of {record.subject.pm}")
    page.paragraph("{}", conclusion(record))
    page.bullets(
        [f"Chosen on {pairs_line(record.chosen_on)}.", f"Judged on {pairs_line(record.judged_on)}."]
    )
    page.heading(2, "On the pairs to choose by")
    page.table(header(record), [row(one, record) for one in record.candidates])
    for one in record.judged:
        page.heading(2, f"Chosen for {one.target}: {one.candidate}")
        page.paragraph("{}", f"On other prompts. {verdict(one)}")
        page.table(
            _SUBSETS,
            [[name, *map(Number, figures)] for name, *figures in map(_subset, one.subsets)],
        )
    if record.miscalibration:
        page.heading(2, "Against the labellers")
        page.paragraph(
            "Share of the pairs of which one side shows it in which that side is preferred."
        )
        page.table(_LEAN, [_lean(one) for one in record.miscalibration])
    page.bullets(list(record.notes))
    return page.text()


def pairs_line(half: PairsRead) -> str:
    """Return how many pairs were read of which file, and what was skipped."""
    skipped = ", ".join(f"{count:,} {reason}" for reason, count in half.skipped.items())
    left_out = f"; skipped in the whole file: {skipped}" if skipped else ""
    return f"{half.pairs:,} pairs of {half.prompts:,} prompts of {half.file}{left_out}"


def verdict(one: JudgedRepair) -> str:
    """Return whether a repair helps, and why."""
    return f"It helps: {one.reason}." if one.helps else f"It does not help: {one.reason}."


def header(record: RepairRecord) -> Sequence[str]:
    """Return the columns of a table of candidates."""
    return ("repair", *(f"{name} (points)" for name in named(record)))


def named(record: RepairRecord) -> list[str]:
    """Return the subsets whose changes a table of candidates shows: those chosen for."""
    return list(dict.fromkeys(["all", *(one.target for one in record.judged)]))


def row(one: RepairCandidate, record: RepairRecord) -> list[str]:
    """Return a candidate as a row under ``header``."""
    return [str(one), *(signed(100 * one.change[name], 1) for name in named(record))]


def _subset(one: SubsetChange) -> list[str]:
    return [
        one.subset,
        f"{one.pairs:,}",
        f"{one.prompts:,}",
        percent(one.before),
        percent(one.after),
        points(one.change),
    ]


def _lean(one: Miscalibration) -> list[str]:
    return [
        one.contrast,
        f"{one.pairs:,}",
        percent(one.by_pm),
        percent(one.by_labellers),
        points(one.difference),
    ]
