"""A calibration as tables for a terminal."""

from __future__ import annotations

from tabulate import tabulate

from pm_audit.calibrate.result import Calibration, TrainedAudit
from pm_audit.calibrate.shares import families, pooled, summary
from pm_audit.records import Check
from pm_audit.report import sanitise

_BAR = 20


def render(calibration: Calibration) -> str:
    """Return the tables and a rough plot."""
    blocks = []
    if calibration.planted:
        constructed = families(calibration)[0]
        rows = [["constructed: true gap in sigma", "found, right way", ""]]
        for one in constructed.detected:
            bar = "#" * round(_BAR * one.share.count / one.share.of)
            rows.append([one.label, str(one.share), bar.ljust(_BAR, ".")])
        blocks.append(rows)
    if calibration.trained:
        blocks.append([_HEADINGS, *(_row(one) for one in calibration.trained)])
    blocks.append([[name, str(share)] for name, share in summary(calibration) if share.of])
    lines = "\n\n".join(
        tabulate(rows, tablefmt="plain", disable_numparse=True) for rows in blocks if rows
    ).split("\n")
    errors = [one.contribution_error for one in calibration.planted]
    known = [error for error in errors if error is not None]
    if known:
        lines.append(f"largest error of a planted contribution: {max(known):.2g} raw reward")
    return sanitise.terminal_lines("\n".join(line.rstrip() for line in lines))


_HEADINGS = [
    "trained: hypothesis",
    "planted",
    "true gap",
    "found, matched",
    "found, unmatched",
    "closure",
    "explained",
    "features",
    "strongest",
    "in every fold",
]


def _row(one: TrainedAudit) -> list[str]:
    cells = [
        one.name,
        "sham" if one.sham else f"{one.strength:+.2f}",
        f"{one.gap:+.2f}",
        str(pooled([one.matched])[0]),
        str(pooled([one.unmatched])[0]),
    ]
    told = one.explanation
    if told is None:
        return cells
    return [
        *cells,
        "-" if told.closure is None else f"{told.closure:.0%}",
        told.outcomes[Check.EXPLAINED].value,
        str(told.selected),
        told.strongest or "-",
        {None: "-", True: "yes", False: "no"}[told.stable],
    ]
