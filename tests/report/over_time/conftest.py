"""Records that are compared with the stored one."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from pm_audit.records import (
    AuditRecord,
    FeatureLabel,
    FeatureRecord,
    HypothesisRecord,
    LabelSource,
    Role,
)
from pm_audit.release import compare
from pm_audit.release.history import step_between
from pm_audit.report.over_time.comment import comment
from pm_audit.report.over_time.history import History, Release


@pytest.fixture(scope="session")
def regressed():
    """Return a maker of records in which a feature with a label became causal in a hypothesis."""

    def plant(record: AuditRecord, name: str, label: str = "“sorry”") -> AuditRecord:
        one = next(each for each in record.hypotheses if each.name == name)
        like: FeatureRecord = one.features[0]
        contribution = like.contribution.model_copy(
            update={"value": 0.9, "low": 0.7, "high": 1.1}
            if one.gap.value > 0
            else {"value": -0.9, "low": -1.1, "high": -0.7}
        )
        planted = like.model_copy(
            update={
                "index": 4242,
                "contribution": contribution,
                "folds": (0, 1),
                "label": FeatureLabel(text=label, source=LabelSource.FILE),
            }
        )
        changed = one.model_copy(update={"features": (planted, *one.features)})
        hypotheses = tuple(changed if h is one else h for h in record.hypotheses)
        return record.model_copy(update={"hypotheses": hypotheses})

    return plant


@pytest.fixture(scope="session")
def comment_on():
    """Return the comment on a record that is compared with another."""

    def make(old: AuditRecord, new: AuditRecord, **more) -> str:
        return comment(new, baseline=old, comparison=compare(old, new), **more)

    return make


@pytest.fixture(scope="session")
def shifted():
    """Return a maker of records in which the gap of one hypothesis is larger by so many sigma."""

    def shift(record: AuditRecord, name: str, amount: float, **update) -> AuditRecord:
        def moved(one: HypothesisRecord) -> HypothesisRecord:
            gap = one.gap_sigma
            ends = {end: getattr(gap, end) + amount for end in ("value", "low", "high")}
            raw = amount * one.evidence.sigma
            rows = tuple(
                row.model_copy(update={"reward": row.reward + raw})
                if row.role is Role.EXAMPLE
                else row
                for row in one.evidence.rows
            )
            evidence = one.evidence.model_copy(update={"rows": rows, "transfer": ()})
            return one.model_copy(
                update={"gap_sigma": gap.model_copy(update=ends), "evidence": evidence}
            )

        hypotheses = tuple(moved(h) if h.name == name else h for h in record.hypotheses)
        return record.model_copy(update={"hypotheses": hypotheses} | update)

    return shift


@pytest.fixture(scope="session")
def history_of():
    """Return what makes a history of records without files, each with its notes."""

    def make(records, notes=(), set_aside=()) -> History:
        releases = [
            Release.of(record, f"reports/{at}.json", tuple(notes))
            for at, record in enumerate(records)
        ]
        steps = [None, *(step_between(*pair) for pair in itertools.pairwise(records))]
        with_steps = tuple(
            release.model_copy(update={"step": step})
            for release, step in zip(releases, steps, strict=True)
        )
        return History(releases=with_steps, set_aside=tuple(set_aside))

    return make


@pytest.fixture(scope="session")
def twenty_releases(shifted, history_of) -> History:
    """Twenty releases of the shipped audit's fifteen hypotheses, each a little different."""
    record = AuditRecord.read(Path(__file__).parents[3] / "reports" / "baseline.json")
    records = []
    for at in range(20):
        one = record.hypotheses[at % 15]
        day = f"2026-{at // 2 + 1:02}-{14 * (at % 2) + 1:02}T10:00:00+00:00"
        record = shifted(record, one.name, 0.3 if at % 3 else -0.4, created=day)
        if at == 8:
            method = record.method.model_copy(update={"null_sets": record.method.null_sets - 1})
            record = record.model_copy(update={"method": method})
        records.append(record)
    missing = records[5]
    records[5] = missing.model_copy(
        update={"hypotheses": missing.hypotheses[1:], "manifest": missing.manifest[1:]}
    )
    return history_of(records)
