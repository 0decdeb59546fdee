"""A calibration as tables, for a terminal and for a page."""

from __future__ import annotations

from collections.abc import Iterator

from tabulate import tabulate

from pm_audit.records import Check
from pm_audit.report import sanitise
from recipes.calibrate.result import Calibration, TrainedAudit
from recipes.calibrate.shares import families, pooled, summary

_BAR = 20


def render(calibration: Calibration) -> str:
    """Return the tables for a terminal, detection with a bar for each share."""
    blocks = [_plain(headings, rows) for headings, rows in _tables(calibration, bars=True)]
    return sanitise.terminal_lines("\n\n".join([*blocks, *_error(calibration)]))


def markdown(calibration: Calibration) -> str:
    """Return the tables for a page of the documentation."""
    blocks = [
        tabulate(rows, headers=headings, tablefmt="github", disable_numparse=True)
        for headings, rows in _tables(calibration, bars=False)
    ]
    return "\n\n".join([*blocks, *(f"The {line}." for line in _error(calibration))])


def _plain(headings: list[str], rows: list[list[str]]) -> str:
    table = tabulate([headings, *rows], tablefmt="plain", disable_numparse=True)
    return "\n".join(line.rstrip() for line in table.split("\n"))


def _tables(calibration: Calibration, *, bars: bool) -> Iterator[tuple[list[str], list[list[str]]]]:
    """Yield headings and rows of each table that is not empty."""
    if calibration.planted:
        rows = []
        for one in families(calibration)[0].detected:
            bar = "#" * round(_BAR * one.share.count / one.share.of)
            rows.append([one.label, str(one.share), *([bar.ljust(_BAR, ".")] if bars else [])])
        yield ["constructed: true gap in sigma", "found, right way round"], rows
    if calibration.trained:
        yield _HEADINGS, [_row(one) for one in calibration.trained]
    yield (
        ["share", "count"],
        [[name, str(share)] for name, share in summary(calibration) if share.of],
    )


def _error(calibration: Calibration) -> list[str]:
    errors = [one.contribution_error for one in calibration.planted]
    known = [error for error in errors if error is not None]
    if not known:
        return []
    return [f"largest error of a constructed contribution was {max(known):.2g} raw reward"]


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
        "negative control" if one.negative_control else f"{one.strength:+.2f}",
        f"{one.gap:+.2f}",
        str(pooled([one.matched])[0]),
        str(pooled([one.unmatched])[0]),
    ]
    explanation = one.explanation
    if explanation is None:
        return cells
    return [
        *cells,
        "-" if explanation.closure is None else f"{explanation.closure:.0%}",
        explanation.outcomes[Check.EXPLAINED].value,
        str(explanation.selected),
        explanation.strongest or "-",
        {None: "-", True: "yes", False: "no"}[explanation.stable],
    ]
