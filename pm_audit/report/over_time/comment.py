"""A pull request's comment: what got worse, what got better, by how much, and which features do it.

At most 60 lines, so that a reviewer reads it where it stands.  What is worse comes first, a line a
hypothesis with its place and its features, and each list says how many it leaves out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from pm_audit.judging import rule_of
from pm_audit.records import (
    NOT_PASSED,
    AuditRecord,
    FeatureRecord,
    HypothesisRecord,
)
from pm_audit.report import changes, feature_words, figures, findings, wording
from pm_audit.report.changes import THE_RUN, Change, ChangeKind, Comparison
from pm_audit.report.markdown_writer import Code, MarkdownWriter, Markup, Number, Value
from pm_audit.report.over_time.notes import Note
from pm_audit.report.terminal_writer import shortened
from pm_audit.report.viewed import require_readable

MOST_LINES = 60
_WORSE, _BETTER, _OTHER, _ROWS, _NOTES = 10, 5, 4, 10, 3
"""Items of each list; with titles and blank lines they stay below ``MOST_LINES``."""
_CHANGES, _FEATURES = 3, 3
"""Of one hypothesis."""
_MESSAGE, _LABEL, _NAME = 240, 60, 80
"""Characters of a message, a feature and a name that are shown."""

_BETTER_KINDS = frozenset(
    {
        ChangeKind.CHECK_BETTER,
        ChangeKind.CLOSURE_GAINED,
        ChangeKind.TRANSFER_GAINED,
        ChangeKind.SUFFICIENCY_GAINED,
        ChangeKind.STABILITY_GAINED,
    }
)


def comment(
    record: AuditRecord | None,
    *,
    baseline: AuditRecord | None = None,
    comparison: Comparison | None = None,
    reasons: Sequence[str] = (),
    notes: Sequence[Note] = (),
) -> str:
    """Return the comment as Markdown.

    Args:
        record: of the run; None if it judged nothing.
        baseline: the record that it is compared with; None without one.
        comparison: what changed from the baseline.
        reasons: why the run does not pass; empty if it passes.
        notes: of reviewers, on either record.

    Raises:
        RecordError: a record is torn.

    """
    for one in (record, baseline):
        if one is not None:
            require_readable(one)
    page = MarkdownWriter()
    page.heading(2, f"pm_audit: {_verdict(comparison, reasons)}")
    said = "" if comparison is None else "worse than the baseline"
    others = [shortened(reason, _MESSAGE) for reason in reasons if reason != said]
    if others and comparison is not None:
        page.paragraph("The run does not pass: {}.", shortened("; ".join(others), 2 * _MESSAGE))
    if record is None:
        return page.text()
    if baseline is None or comparison is None:
        _list(page, "Not passed", list(map(_not_passed, _missed(record))), _WORSE)
        _table(page, ("gap (sigma)", "closure"), list(map(_standing, findings.by_size(record))))
    else:
        _changes(page, record, baseline, comparison)
    newest = sorted(notes, key=lambda note: note.day, reverse=True)
    _list(page, "Reviewer's notes", list(map(_note, newest)), _NOTES)
    rests: Value = _title(record)
    if baseline is not None:
        rests = Markup("{}, against {}", (rests, _title(baseline)))
    page.paragraph("{}. {}.", rests, wording.tally(record))
    return page.text()


def _verdict(comparison: Comparison | None, reasons: Sequence[str]) -> str:
    if comparison is not None:
        return changes.verdict(comparison)
    return f"does not pass: {shortened('; '.join(reasons), _MESSAGE)}" if reasons else "passes"


def _title(record: AuditRecord) -> Code:
    subject = record.subject
    named = f"{_end(subject.pm)} ({subject.pm_sha256[:12]})"
    return Code(f"{named} of {shortened(record.created, _NAME)}")


def _changes(
    page: MarkdownWriter, record: AuditRecord, baseline: AuditRecord, comparison: Comparison
) -> None:
    now = {one.name: one for one in record.hypotheses}
    was = {one.name: one for one in baseline.hypotheses}
    same_saes = {s.sha256 for s in baseline.subject.saes} == {s.sha256 for s in record.subject.saes}

    def line(name: str, found: Sequence[Change]) -> Value:
        old = was.get(name) if same_saes else None
        return _changed(name, found, now.get(name), old)

    def lines(found: Iterable[Change]) -> list[Value]:
        grouped = {name: list(group) for name, group in groupby(found, lambda one: one.hypothesis)}
        of_run = grouped.pop(THE_RUN, None)
        most_first = sorted(grouped.items(), key=lambda item: -len(item[1]))
        said = [line(name, group) for name, group in most_first]
        if of_run is not None:  # where no list leaves it out
            said.insert(_OTHER - 1, line(THE_RUN, of_run))
        return said

    worse = [one for one in comparison.changes if one.regression]
    better = [one for one in comparison.changes if _better(one, now.get(one.hypothesis))]
    known = ChangeKind.KNOWN_FROM_BASELINE
    others = [
        one
        for one in comparison.changes
        if one not in worse and one not in better and one.kind is not known
    ]
    _list(page, "Worse", lines(worse), _WORSE)
    _list(page, "Better", lines(better), _BETTER)
    _table(page, ("gap (sigma)", "change", "closure"), list(_moved(was, now)))
    _list(page, "Also", lines(others), _OTHER)


def _better(change: Change, now: HypothesisRecord | None) -> bool:
    """Whether a change is one for the better: a gap that shrank is if none is expected."""
    if change.kind in _BETTER_KINDS:
        return True
    shrunk = change.kind in (ChangeKind.GAP_SHRUNK, ChangeKind.FEATURE_NO_LONGER_CAUSAL)
    return shrunk and now is not None and findings.expected(now) == "no gap"


def _changed(
    name: str,
    found: Sequence[Change],
    now: HypothesisRecord | None,
    old: HypothesisRecord | None,
) -> Value:
    """Return ``**urls** `hypotheses/urls.yaml:12`: gap grown: ... Carried by ...``."""
    said = [f"{one.kind}: {shortened(one.message, _MESSAGE)}" for one in found[:_CHANGES]]
    if len(found) > _CHANGES:
        said.append(f"and {len(found) - _CHANGES} more")
    place = next((one.place for one in found if one.place), "")
    return _line(name, place, said, () if now is None else _carried(now, old))


def _line(name: str, place: str, said: Sequence[str], carried: tuple[Value, ...]) -> Value:
    words = "; ".join(one.rstrip(".") for one in said)
    at: tuple[Value, ...] = (_cut(name), Code(_end(place)), words)
    head = Markup("**{}** {}: {}", at) if place else Markup("**{}**: {}", (_cut(name), words))
    if not carried:
        return head
    return Markup("{}. Carried by {}", (head, Markup(", ".join(["{}"] * len(carried)), carried)))


def _carried(now: HypothesisRecord, old: HypothesisRecord | None) -> tuple[Value, ...]:
    """Return the first features that carry a gap, each with what it contributed before."""
    before = {str(one): one for one in old.features} if old is not None else None
    chosen = findings.selected(now)[:_FEATURES]
    return tuple(_contribution(one, now, old, before) for one in chosen)


def _contribution(
    feature: FeatureRecord,
    now: HypothesisRecord,
    old: HypothesisRecord | None,
    before: dict[str, FeatureRecord] | None,
) -> Value:
    named = Code(feature_words.name(feature, width=_LABEL))
    size = Number(wording.contribution(feature, now)[0])
    if before is None or old is None:
        return Markup("{} {}", (named, size))
    earlier = before.get(str(feature))
    was = "none" if earlier is None else wording.contribution(earlier, old)[0]
    return Markup("{} {} (was {})", (named, size, Number(was)))


def _missed(record: AuditRecord) -> Iterator[HypothesisRecord]:
    for one in findings.by_size(record):
        if NOT_PASSED & set(one.outcomes.values()):
            yield one


def _not_passed(hypothesis: HypothesisRecord) -> Value:
    found = [result for result in hypothesis.checks if result.outcome in NOT_PASSED]
    line = hypothesis.line_of(rule_of(found[0].check).line_key)
    said = [f"{one.check}: {one.outcome}: {shortened(one.reason, _MESSAGE)}" for one in found]
    return _line(hypothesis.name, f"{hypothesis.file}:{line}", said, _carried(hypothesis, None))


def _moved(
    was: dict[str, HypothesisRecord], now: dict[str, HypothesisRecord]
) -> Iterator[list[Value]]:
    """Yield a row for each hypothesis of both records that moved, the largest change first."""
    both = [(was[name], now[name]) for name in now if name in was]
    both = [(old, new) for old, new in both if _change(old, new) or old.outcomes != new.outcomes]
    for old, new in sorted(both, key=lambda pair: -abs(_change(*pair))):
        closures = [figures.number(c) if (c := one.closure) else "-" for one in (old, new)]
        places = figures.decimals(old.gap_sigma.value, new.gap_sigma.value)
        yield [
            _cut(new.name),
            Number(figures.signed(new.gap_sigma.value, places)),
            Number(figures.signed(_change(old, new), places)),
            Number(closures[1]) if len(set(closures)) == 1 else " to ".join(closures),
            _checks(old, new),
        ]


def _change(old: HypothesisRecord, new: HypothesisRecord) -> float:
    return new.gap_sigma.value - old.gap_sigma.value


def _checks(old: HypothesisRecord, new: HypothesisRecord) -> str:
    before = old.outcomes
    moved = [
        f"{check} {before[check]} to {outcome}"
        for check, outcome in new.outcomes.items()
        if check in before and before[check] is not outcome
    ]
    return ", ".join(moved) or "as before"


def _standing(hypothesis: HypothesisRecord) -> list[Value]:
    missed = [f"{check} {one}" for check, one in hypothesis.outcomes.items() if one in NOT_PASSED]
    return [
        _cut(hypothesis.name),
        Number(figures.bare(hypothesis.gap_sigma)),
        Number(figures.with_bounds(hypothesis.closure)),
        ", ".join(missed) or "passed",
    ]


def _note(note: Note) -> Value:
    of = "the record" if note.hypothesis is None else _cut(note.hypothesis)
    return Markup("**{}**: {}", (of, note.line(_MESSAGE)))


def _cut(name: str) -> str:
    return shortened(name, _NAME)


def _end(path: str) -> str:
    """Return a path of at most twice a name's length, cut at its start."""
    return path if len(path) <= 2 * _NAME else f"…{path[-2 * _NAME :]}"


def _table(page: MarkdownWriter, columns: Sequence[str], rows: list[list[Value]]) -> None:
    if rows:
        page.table(["hypothesis", *columns, "checks"], rows[:_ROWS])
    if len(rows) > _ROWS:
        page.paragraph("and {} more.", wording.hypotheses(len(rows) - _ROWS))


def _list(page: MarkdownWriter, title: str, items: list[Value], most: int) -> None:
    if not items:
        return
    page.paragraph("**{}**", title)
    left = len(items) - most
    page.bullets([*items[:most], *([f"and {left} more"] if left > 0 else [])])
