"""A calibration as tables, for a terminal and for a page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from statistics import fmean

from tabulate import tabulate

from pm_audit.records import Outcome
from pm_audit.report import sanitise
from recipes.calibrate.result import (
    Calibration,
    ChanceAudit,
    ExactAudit,
    FreshAudit,
    Share,
    TrainedAudit,
)
from recipes.calibrate.shares import covered, families, passed, pooled, summary

TIGHT = 1e-3
"""Distance from a whole number at which a figure counts as equal to it."""

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
    if calibration.exact:
        yield _EXACT, list(_exact(calibration.exact))
    if calibration.trained:
        yield _HEADINGS, [_row(one) for one in calibration.trained]
    if calibration.fresh:
        yield _FRESH, list(_fresh(calibration.fresh))
    if calibration.chance:
        yield _CHANCE, list(_chance(calibration.chance))
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


_EXACT = [
    "constructed: what is planted",
    "search",
    "planted set found",
    "`explained` passes",
    "closure",
    "sufficiency",
    "transfer",
]


def _exact(audits: Sequence[ExactAudit]) -> Iterator[list[str]]:
    for family, search in dict.fromkeys((one.family, one.search) for one in audits):
        own = [one for one in audits if (one.family, one.search) == (family, search)]
        figures = (
            [value for one in own if (value := getattr(one, name)) is not None]
            for name in ("closure", "sufficiency", "transfer")
        )
        yield [
            family,
            search,
            f"{sum(one.found for one in own)}/{len(own)}",
            f"{sum(one.explained is Outcome.PASS for one in own)}/{len(own)}",
            *(_range(values) for values in figures),
        ]


def _range(values: Sequence[float]) -> str:
    """Return the whole number that all are within ``TIGHT`` of, else the least and the largest."""
    if not values:
        return "-"
    nearest = round(values[0])
    distance = max(abs(value - nearest) for value in values)
    if distance < TIGHT:
        return f"{nearest} within {max(distance, 1e-9):.0e}"
    return f"{min(values):.2f} to {max(values):.2f}"


_HEADINGS = [
    "trained: hypothesis",
    "planted",
    "true gap",
    "found, matched",
    "found, unmatched",
]


def _row(one: TrainedAudit) -> list[str]:
    return [
        one.name,
        "negative control" if one.negative_control else f"{one.strength:+.2f}",
        f"{one.gap:+.2f}",
        str(pooled([one.matched])[0]),
        str(pooled([one.unmatched])[0]),
    ]


_FRESH = [
    "full audits",
    "PM",
    "gap found",
    "`explained` passes",
    "closure",
    "on fresh prompts",
    "held by the interval",
    "stability",
]


def _fresh(audits: Sequence[FreshAudit]) -> Iterator[list[str]]:
    for subject, name in dict.fromkeys((one.subject, one.name) for one in audits):
        own = [one for one in audits if (one.subject, one.name) == (subject, name)]
        stated = [one for one in own if one.closure is not None]
        yield [
            name,
            subject,
            f"{len(stated)}/{len(own)}",
            f"{passed(own).count}/{len(own)}",
            _mean(one.closure.value for one in stated if one.closure is not None),
            _mean(one.fresh for one in stated if one.fresh is not None),
            str(covered(own)),
            _mean(one.stability for one in stated if one.stability is not None),
        ]


def _mean(values: Iterable[float]) -> str:
    found = list(values)
    return f"{fmean(found):.2f}" if found else "-"


_CHANCE = ["nothing to explain", "PM", "gap found", "`explained` passes", "of gaps found"]


def _chance(audits: Sequence[ChanceAudit]) -> Iterator[list[str]]:
    for subject, kind in dict.fromkeys((one.subject, one.kind) for one in audits):
        own = [one for one in audits if (one.subject, one.kind) == (subject, kind)]
        found = [one for one in own if one.found]
        gaps = Share.counted(one.found for one in own)
        yield [kind, subject, f"{gaps.count}/{gaps.of}", str(passed(own)), str(passed(found))]
