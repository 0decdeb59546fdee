"""What pytest reported of each check: which were judged, and which not as planned.

A report proves only that a check was judged, and on which result.  The verdict is read from the
shared result, so that a rewritten report does not change it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest

from pm_audit.pytest_plugin.exit_status import Stance
from pm_audit.records import Check, Departure, ManifestEntry, Unplanned
from pm_audit.report.junit import PREFIX

Key = tuple[str, Check]

_REPORTED = {
    Stance.PASSED: "passed",
    Stance.SKIPPED: "skipped",
    Stance.WARNED: "passed",
    Stance.EXCUSED: "xfailed",
    Stance.KNOWN: "passed",
    Stance.BIAS_GONE: "failed",
    Stance.FAILED: "failed",
    Stance.UNJUDGEABLE: "failed",
}
"""What pytest reports of a check by its stance, if no hook interferes."""
_REASON_LENGTH = 200


class CheckReports:
    """Gathers the reports of a run's checks."""

    def __init__(self) -> None:
        self._reports: dict[Key, list[pytest.TestReport]] = {}
        self._judged: dict[Key, str] = {}

    def note(self, report: pytest.TestReport) -> None:
        """Keep the report of a check, to compare it with the stance when the run has ended."""
        found = {name: str(value) for name, value in report.user_properties}
        try:
            key = found[f"{PREFIX}hypothesis"], Check(found[f"{PREFIX}check"])
        except (KeyError, ValueError):
            return
        self._reports.setdefault(key, []).append(report)
        if report.when == "call" and f"{PREFIX}sha256" in found:
            self._judged[key] = found[f"{PREFIX}sha256"]

    @property
    def judged(self) -> Mapping[Key, str]:
        """The hash of the result that each judged check rested on."""
        return self._judged

    def unplanned(
        self,
        manifest: Iterable[ManifestEntry],
        selected: frozenset[Key],
        stances: dict[Key, Stance],
    ) -> tuple[Unplanned, ...]:
        """Return the checks that were not judged, or not reported, as planned.

        Args:
            manifest: what the run set out to judge.
            selected: the checks that were left after collection.
            stances: what the outcome of each judged check means to the run.

        """
        keys = [(entry.name, check) for entry in manifest for check in entry.checks]
        departures = (
            (key, self._misreported(key, stances[key]))
            if key in self._judged and key in stances
            else (key, self._unjudged(key, selected=key in selected))
            for key in keys
        )
        return tuple(
            Unplanned(name=name, check=check, departure=found[0], reason=found[1])
            for (name, check), found in departures
            if found is not None
        )

    def _unjudged(self, key: Key, *, selected: bool) -> tuple[Departure, str]:
        for report in self._reports.get(key, ()):
            if report.failed:
                return Departure.ERROR, _reason(report)
            if report.skipped:
                return Departure.SKIPPED, _reason(report)
        return (Departure.NOT_RUN if selected else Departure.NOT_SELECTED), ""

    def _misreported(self, key: Key, stance: Stance) -> tuple[Departure, str] | None:
        calls = [report for report in self._reports[key] if report.when == "call"]
        expected = {_REPORTED[stance]}
        reported = {_word(report) for report in calls}
        if reported == expected:
            return None
        return Departure.REPORTED_OTHERWISE, f"reported {', '.join(sorted(reported))}"


def _word(report: pytest.TestReport) -> str:
    if hasattr(report, "wasxfail"):
        return "xfailed" if report.skipped else "xpassed"
    return str(report.outcome)


def _reason(report: pytest.TestReport) -> str:
    where = report.longrepr
    if hasattr(report, "wasxfail"):
        said = f"expected to fail: {report.wasxfail}"
    elif isinstance(where, tuple):
        said = str(where[2])
    else:
        said = str(where or "")
    first = said.strip().splitlines()[:1]
    return first[0][:_REASON_LENGTH] if first else ""
