"""From files of records to a history: ordered by their own times, each compared with the last.

A record takes part only if a release could be judged by it (``believed``).  Any other file is set
aside with the reason, and so is the time of no record guessed.  Two neighbours are compared as a
gate compares them.  Where the body of the PM is another one, or the method is weaker, their figures
stand next to each other and nothing is said about their difference.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pm_audit.errors import RecordError
from pm_audit.records import AuditRecord, SubjectRecord
from pm_audit.release.believed import read_believed
from pm_audit.release.hypotheses import compare
from pm_audit.release.policy import ACCEPT
from pm_audit.report.changes import ChangeKind, ordered
from pm_audit.report.over_time.history import History, Release, SetAside, Step
from pm_audit.report.over_time.notes import Note, read_notes
from pm_audit.report.viewed import require_readable
from pm_audit.spec import GateMode

_BODY = ("tokenizer_sha256", "layers", "hidden_size")
"""What two trainings of one PM share."""
_OF_THE_METHOD = (ChangeKind.METHOD_WEAKENED, ChangeKind.METHOD_CHANGED)
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}T.+")


def read_history(paths: Sequence[Path]) -> History:
    """Return the releases that files hold, in whatever order they are named.

    Raises:
        RecordError: a file is missing, or none holds a record that can be believed.
        InvalidSpec: notes next to a record cannot be read.

    """
    missing = [str(path) for path in paths if not path.exists()]
    if missing:
        raise RecordError(f"{', '.join(missing)}: no such record; check the path")
    found: dict[str, tuple[Release, Path]] = {}
    set_aside: list[SetAside] = []
    # a link to a record is another file of it, with notes of its own
    once = {os.path.normpath(path.absolute()): path for path in sorted(paths, reverse=True)}
    for path in sorted(once.values()):
        try:
            record = _dated(path)
        except RecordError as error:
            set_aside.append(SetAside(file=str(path), reason=_reason(error, path)))
            continue
        utc = moment(record.created).astimezone(UTC).isoformat()
        release = Release.of(record, str(path), read_notes(path, record))
        release = release.model_copy(update={"created": utc})
        first = found.get(release.digest)
        found[release.digest] = (release, path) if first is None else (_merged(*first, release))
    if not found:
        reasons = "\n  ".join(f"{one.file}: {one.reason}" for one in set_aside)
        raise RecordError(f"no file holds a release:\n  {reasons}" if reasons else "name records")
    in_order = sorted(found.values(), key=lambda one: (moment(one[0].created), one[0].digest))
    return History(releases=tuple(_compared(in_order)), set_aside=tuple(set_aside))


def moment(created: str) -> datetime:
    """Return when a record was written; a time without a zone is in UTC.

    Raises:
        ValueError: it is no time.

    """
    if not _ISO.fullmatch(created):
        raise ValueError(f"{created[:40]!a} is not a day and a time as ISO 8601 writes them")
    found = datetime.fromisoformat(created)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found


def _dated(path: Path) -> AuditRecord:
    record = read_believed(path)
    require_readable(record)
    try:
        moment(record.created)
    except ValueError as error:
        raise RecordError(f"{path}: cannot be put in order: {error}; audit again") from error
    return record


def _reason(error: RecordError, path: Path) -> str:
    return str(error).splitlines()[0].removeprefix(f"{path}").removeprefix(":").strip()


def _merged(first: Release, path: Path, copy: Release) -> tuple[Release, Path]:
    """Return the release with a second file of the same record, and with the notes of both."""
    points = {
        name: point.model_copy(update={"notes": _once(point.notes + copy.points[name].notes)})
        for name, point in first.points.items()
    }
    update = {
        "copies": (*first.copies, copy.file),
        "notes": _once(first.notes + copy.notes),
        "points": points,
    }
    return first.model_copy(update=update), path


def _once(notes: tuple[Note, ...]) -> tuple[Note, ...]:
    return tuple(dict.fromkeys(notes))


def _compared(in_order: Sequence[tuple[Release, Path]]) -> Iterator[Release]:
    """Yield each release with its step from the one before; two records are held at a time."""
    before: AuditRecord | None = None
    for release, path in in_order:
        record = AuditRecord.read(path)
        step = None if before is None else step_between(before, record)
        yield release.model_copy(update={"step": step})
        before = record


def step_between(old: AuditRecord, new: AuditRecord) -> Step:
    """Return what changed between two neighbours, or why nothing can be said about it."""
    remarks = [
        f"PM from {was} to {now}" for was, now in [(old.subject.pm, new.subject.pm)] if was != now
    ]
    another = list(_another_body(old.subject, new.subject))
    if another:
        return Step(breaks=tuple(another), remarks=tuple(remarks))
    changes = ordered(compare(old, new, gate=GateMode.REGRESSIONS))
    breaks = [
        one.message.removesuffix(f"; {ACCEPT}")
        for one in changes
        if one.kind is ChangeKind.METHOD_WEAKENED
    ]
    remarks += [one.message for one in changes if one.kind is ChangeKind.METHOD_CHANGED]
    if breaks:
        return Step(breaks=tuple(breaks), remarks=tuple(remarks))
    left_out = (*_OF_THE_METHOD, ChangeKind.KNOWN_FROM_BASELINE)
    kept = tuple(change for change in changes if change.kind not in left_out)
    return Step(remarks=tuple(remarks), changes=kept)


def _another_body(old: SubjectRecord, new: SubjectRecord) -> Iterator[str]:
    for name in _BODY:
        was, now = (str(getattr(of, name))[:12] for of in (old, new))
        if was != now:
            yield f"another body: {name} from {was} to {now}"
