"""A PM's releases over time, as every view of them gets them.

Records stand in the order of their own times.  A line that joins two releases says that their
figures can be compared; where they cannot, it is interrupted and the reason is named.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import TYPE_CHECKING, Self

from pm_audit.records import AuditRecord, Check, Figure, HypothesisRecord, Outcome, Record
from pm_audit.report import feature_words, findings
from pm_audit.report.changes import Change, ChangeKind
from pm_audit.report.over_time.notes import Note

if TYPE_CHECKING:
    import pandas as pd

_NAMED = 2
"""Most PMs that a title names."""


class Point(Record):
    """One hypothesis in one release."""

    name: str
    claim: str
    place: str
    """``file:line``."""
    gap: Figure
    """In sigma."""
    residual: Figure
    """In sigma."""
    closure: Figure | None
    outcomes: dict[Check, Outcome]
    features: tuple[str, ...]
    """The selected features by label and index, largest contribution first."""
    notes: tuple[Note, ...]

    @classmethod
    def of(cls, hypothesis: HypothesisRecord, notes: tuple[Note, ...]) -> Self:
        """Return what a history keeps of a hypothesis."""
        return cls(
            name=hypothesis.name,
            claim=hypothesis.claim,
            place=f"{hypothesis.file}:{hypothesis.line}",
            gap=hypothesis.gap_sigma,
            residual=hypothesis.residual_sigma,
            closure=hypothesis.closure,
            outcomes=hypothesis.outcomes,
            features=tuple(map(feature_words.name, findings.selected(hypothesis))),
            notes=tuple(note for note in notes if note.about(hypothesis)),
        )

    @property
    def worst(self) -> Outcome:
        """The worst outcome of its checks; skipped only if all are."""
        judged = [one for one in self.outcomes.values() if one is not Outcome.SKIPPED]
        if not judged:
            return Outcome.SKIPPED
        return reduce(lambda one, other: other if other.worse_than(one) else one, judged)


class Step(Record):
    """From the release before to this one."""

    breaks: tuple[str, ...] = ()
    """Why no figure of the two can be compared; empty if they can."""
    remarks: tuple[str, ...] = ()
    """What else is different about how they were made, in words."""
    changes: tuple[Change, ...] = ()
    """What changed, regressions first; empty if nothing can be compared."""

    @property
    def regressions(self) -> int:
        """How many of the changes are regressions."""
        return sum(change.regression for change in self.changes)

    def why_apart(self, name: str) -> str:
        """Return why the figures of one hypothesis are not joined; empty if they are."""
        if self.breaks:
            return "; ".join(self.breaks)
        return next((one.message for one in self.changes if _parts(one, name)), "")


def _parts(change: Change, name: str) -> bool:
    of_gap = change.kind is ChangeKind.NOT_COMPARABLE and change.check is Check.GAP
    return change.hypothesis == name and of_gap


class Release(Record):
    """One record: whole, unaltered, and following from its own evidence."""

    file: str
    """As it was named."""
    created: str
    """UTC, ISO 8601."""
    digest: str
    pm: str
    pm_sha256: str
    points: dict[str, Point]
    """By name of the hypothesis."""
    notes: tuple[Note, ...]
    """About the record as a whole."""
    step: Step | None = None
    """From the release before; None for the first."""
    copies: tuple[str, ...] = ()
    """Other files that hold the same record."""

    @classmethod
    def of(cls, record: AuditRecord, file: str, notes: tuple[Note, ...]) -> Self:
        """Return what a history keeps of a record."""
        return cls(
            file=file,
            created=record.created,
            digest=record.computed_digest(),
            pm=record.subject.pm,
            pm_sha256=record.subject.pm_sha256,
            points={one.name: Point.of(one, notes) for one in record.hypotheses},
            notes=tuple(note for note in notes if note.hypothesis is None),
        )

    @property
    def day(self) -> str:
        """The day of the record."""
        return self.created[:10]

    @property
    def title(self) -> str:
        """Return ``default (0123456789ab)``."""
        return f"{self.pm} ({self.pm_sha256[:12]})"

    @property
    def page(self) -> str:
        """Name of the record's own page, which no other record and no later export changes."""
        return f"{self.day}-{self.digest[:12]}.html"


class SetAside(Record):
    """A file that is no release, and why."""

    file: str
    reason: str


@dataclass(frozen=True, slots=True)
class Series:
    """One hypothesis over all releases."""

    name: str
    points: tuple[Point | None, ...]
    """None where a release does not hold it."""
    joined: tuple[bool, ...]
    """Whether the figures can be compared with those of the release before."""

    @property
    def last(self) -> Point:
        """The point of the last release that holds it."""
        return next(point for point in reversed(self.points) if point is not None)

    @property
    def gone(self) -> bool:
        """Whether the latest release does not hold it."""
        return self.points[-1] is None


class History(Record):
    """Releases in the order of their times."""

    releases: tuple[Release, ...]
    set_aside: tuple[SetAside, ...] = ()

    @cached_property
    def series(self) -> tuple[Series, ...]:
        """Every hypothesis, those of the latest release first, largest gap first."""
        names = {name for release in self.releases for name in release.points}
        every = [self._series(name) for name in sorted(names)]
        return tuple(sorted(every, key=lambda one: (one.gone, -abs(one.last.gap.value))))

    def _series(self, name: str) -> Series:
        points = tuple(release.points.get(name) for release in self.releases)
        return Series(name, points, tuple(self._joined(name, points)))

    def _joined(self, name: str, points: tuple[Point | None, ...]) -> Iterator[bool]:
        for at, release in enumerate(self.releases):
            both = at > 0 and points[at] is not None and points[at - 1] is not None
            yield both and release.step is not None and not release.step.why_apart(name)

    def __str__(self) -> str:
        """Return the sparklines that the command prints."""
        from pm_audit.report.over_time.sparklines import summary

        return summary(self)

    def frame(self) -> pd.DataFrame:
        """Return a pandas frame, one row a release and hypothesis; figures in sigma."""
        import pandas as pd  # a page needs no pandas

        return pd.DataFrame(
            [
                {
                    "release": release.file,
                    "created": release.created,
                    "pm": release.pm,
                    "hypothesis": point.name,
                    "gap_sigma": point.gap.value,
                    "gap_sigma_low": point.gap.low,
                    "gap_sigma_high": point.gap.high,
                    "residual_sigma": point.residual.value,
                    "closure": None if point.closure is None else point.closure.value,
                    **{check.value: outcome.value for check, outcome in point.outcomes.items()},
                }
                for release in self.releases
                for point in release.points.values()
            ]
        )

    @property
    def checks(self) -> tuple[Check, ...]:
        """Every check that some release judged, in the order of the reports."""
        points = (point for release in self.releases for point in release.points.values())
        judged = {check for point in points for check in point.outcomes}
        return tuple(check for check in Check.known() if check in judged)

    @property
    def lead(self) -> str:
        """Return how many releases there are, of what and from when to when."""
        pms = list(dict.fromkeys(release.pm for release in self.releases))
        of = " and ".join(pms) if len(pms) <= _NAMED else f"{len(pms)} PMs"
        first, last = self.releases[0].day, self.releases[-1].day
        when = first if first == last else f"{first} to {last}"
        count = len(self.releases)
        return f"{count} release{'s' if count > 1 else ''} of {of}, {when}"
