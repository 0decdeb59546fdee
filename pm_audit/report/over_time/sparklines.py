"""A history in the terminal: a row a hypothesis, a column of each sparkline a release.

A line interrupted by ``|`` joins no figures that cannot be compared; the reasons stand below.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise, zip_longest

from pm_audit.records import Outcome
from pm_audit.report import figures
from pm_audit.report.over_time.history import History, Release, Series, Step
from pm_audit.report.terminal_writer import WIDTH, TerminalWriter, shortened

MOST = 16
"""Releases that fit next to one another; the page shows all."""
LEVELS = "▁▂▃▄▅▆▇█"
MARKS = {
    Outcome.PASS: "✓",
    Outcome.SKIPPED: "-",
    Outcome.INCONCLUSIVE: "?",
    Outcome.FAIL: "✕",
    Outcome.INVALID: "!",
}
MISSING, BREAK = "·", "|"
_DECIMALS = 3
_CHANGES = 8
"""Changes of the latest release that are listed."""
_NOTE_WIDTH = 60


def summary(history: History) -> str:
    """Return the sparklines of every hypothesis, and what changed at each release.

    Sparklines are drawn from the smallest value to the largest, zero included.
    """
    page = TerminalWriter()
    first = max(len(history.releases) - MOST, 0)
    lead = history.lead
    page.wrapped(f"{lead}; the last {MOST} are drawn" if first else lead)
    page.line()
    _table(page, history, first)
    page.line()
    page.wrapped(_LEGEND)
    page.line()
    for number, release in enumerate(history.releases, start=1):
        page.line(f"{number:>3}  {release.day}  {release.title}  {release.file}")
        for line in _lines(release, latest=number == len(history.releases)):
            page.line(f"     {line}")
    for one in history.set_aside:
        page.wrapped(f"set aside: {one.file}: {one.reason}")
    return page.text()


_LEGEND = (
    f"{MARKS[Outcome.PASS]} passed, {MARKS[Outcome.SKIPPED]} skipped, "
    f"{MARKS[Outcome.INCONCLUSIVE]} inconclusive, {MARKS[Outcome.FAIL]} failed, "
    f"{MARKS[Outcome.INVALID]} invalid, {MISSING} absent, {BREAK} not comparable across"
)


def sparkline(values: Sequence[float | None], breaks: Sequence[str] = ()) -> str:
    """Return a character a value, its height from the smallest to the largest, zero included.

    ``breaks`` holds what stands before each value, such as ``BREAK``.
    """
    known = [0.0, *(value for value in values if value is not None)]
    low, high = min(known), max(known)
    top = len(LEVELS) - 1

    def level(value: float | None) -> str:
        if value is None:
            return MISSING
        return LEVELS[round(top * (value - low) / (high - low)) if high > low else 0]

    return _interrupted([level(value) for value in values], breaks)


def _interrupted(cells: Sequence[str], breaks: Sequence[str]) -> str:
    return "".join(f"{bar}{cell}" for bar, cell in zip_longest(breaks, cells, fillvalue=""))


def _table(page: TerminalWriter, history: History, first: int) -> None:
    shown = history.releases[first:]
    whole = [bool(one.step and one.step.breaks) for one in shown]
    apart = [_apart(one, whole) for one in history.series]
    seams = [any(column) for column in zip(*apart, strict=True)]
    header = ["hypothesis", "gap (sigma)", "last", "residual", "last", "worst check"]
    rows = [
        _row(
            one,
            first,
            [(BREAK if own else " ") * seam for own, seam in zip(at, seams, strict=True)],
        )
        for one, at in zip(history.series, apart, strict=True)
    ]
    room = WIDTH - sum(max(len(row[at]) for row in (header, *rows)) + 2 for at in range(1, 6))
    page.table(header, [[shortened(row[0], max(room, 6)), *row[1:]] for row in rows], ruled=True)


def _apart(series: Series, whole: Sequence[bool]) -> list[bool]:
    """Return before which releases a line is interrupted: its own, or every line (``whole``)."""
    pairs = zip(pairwise(series.points), series.joined[1:], strict=True)
    own = [False, *(None not in pair and not joined for pair, joined in pairs)][-len(whole) :]
    return [at > 0 and (one or whole[at]) for at, one in enumerate(own)]


def _row(series: Series, first: int, breaks: Sequence[str]) -> list[str]:
    shown = series.points[first:]
    last = series.last
    worst = [MISSING if one is None else MARKS[one.worst] for one in shown]
    return [
        series.name,
        sparkline([None if one is None else one.gap.value for one in shown], breaks),
        "gone" if series.gone else figures.value(last.gap, most=_DECIMALS),
        sparkline([None if one is None else one.residual.value for one in shown], breaks),
        "gone" if series.gone else figures.value(last.residual, most=_DECIMALS),
        _interrupted(worst, breaks),
    ]


def _lines(release: Release, *, latest: bool) -> Iterator[str]:
    """Yield what there is to say about a release; the latest one's changes one by one."""
    yield from (f"the same record: {copy}" for copy in release.copies)
    if release.step is not None:
        yield from (f"{BREAK} {reason}" for reason in release.step.breaks)
        yield from release.step.remarks
        yield from _listed(release.step) if latest else _counted(release.step)
    yield from (f"note: {note.line(_NOTE_WIDTH)}" for note in release.notes)
    for name, point in release.points.items():
        yield from (f"note: {name}: {note.line(_NOTE_WIDTH)}" for note in point.notes)


def _listed(step: Step) -> Iterator[str]:
    for one in step.changes[:_CHANGES]:
        mark = "!" if one.regression else "-"
        yield f"{mark} {one.hypothesis}: {one.kind}: {one.message}"
    left = len(step.changes) - _CHANGES
    if left > 0:
        yield f"{left} more change{'s' if left > 1 else ''}, which the page lists"


def _counted(step: Step) -> Iterator[str]:
    if count := step.regressions:
        names = dict.fromkeys(one.hypothesis for one in step.changes if one.regression)
        yield f"! {count} regression{'s' if count > 1 else ''}: {', '.join(names)}"
    apart = [one for one in step.changes if step.why_apart(one.hypothesis) == one.message]
    yield from (f"{BREAK} {one.hypothesis}: {one.message}" for one in apart[:_CHANGES])
